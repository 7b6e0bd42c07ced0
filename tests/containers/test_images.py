"""What the images are: seen from outside, and from inside."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from uv import find_uv_bin

from shipway.components import __version__
from shipway.components.lib.images import TARGETS

pytestmark = [pytest.mark.slow, pytest.mark.containers, pytest.mark.timeout(1800)]

REFERENCES = {target: reference for reference, target in TARGETS.items()}
CONTAINERS = sorted(REFERENCES)
# Megabytes: a tenth above what was measured on a base of 133.
LARGEST = {"data": 1600, "train": 700, "serve": 670}
IMPORTS = {
    "data": "import tensorflow_data_validation, pyarrow.parquet, vl_convert, google.cloud.storage",
    "train": "import xgboost, sklearn.metrics, scipy.optimize, pandas, vl_convert, pyarrow.parquet",
    "serve": "import xgboost, kubernetes.client, kserve, google.cloud.storage, pyarrow.compute",
}
# kfp goes in without what it depends on, this package without what the command alone needs, and
# TensorFlow in its build for processors.
DECLARED = {"kfp", "shipway", "tfx-bsl", "tensorflow-data-validation", "tensorflow-serving-api"}


def test_an_image_that_cannot_be_built_is_an_error_with_a_cure(engine: str, shipway: str) -> None:
    words = ["images", "--engine", engine, "--target", "serve", "--base-image", "localhost/none:1"]
    built = subprocess.run([shipway, *words], capture_output=True, text=True)
    assert built.returncode == 1
    assert f"{engine} could not build the image 'serve'" in built.stderr
    assert "BASE_IMAGE" in built.stderr


@pytest.mark.parametrize("target", CONTAINERS)
def test_an_image_runs_as_a_number_and_says_what_it_is(
    images: Any, target: str, repository: Path
) -> None:
    config = images.client.images.get(REFERENCES[target]).attrs["Config"]
    user, _, group = config["User"].partition(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "shipway"
    assert labels["org.opencontainers.image.version"]
    git = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    assert labels["org.opencontainers.image.revision"].removesuffix("-dirty") == commit


@pytest.mark.parametrize("target", CONTAINERS)
def test_an_image_is_no_larger_than_it_must_be(images: Any, target: str) -> None:
    size = images.client.images.get(REFERENCES[target]).attrs["Size"]
    assert size < LARGEST[target] * 1_000_000


@pytest.mark.parametrize("target", CONTAINERS)
def test_an_image_works_on_a_read_only_root(images: Any, target: str) -> None:
    code = f"""
{IMPORTS[target]}
import os, pathlib
from shipway.components import __version__
pathlib.Path("/tmp/scratch").write_text("a step may write here")
for folder in ("/", "/opt/venv", "/usr"):
    assert not os.access(folder, os.W_OK), folder
print(__version__, os.getuid())
"""
    assert images.python(target, code).splitlines()[-1] == f"{__version__} 1000"


@pytest.mark.parametrize("target", CONTAINERS)
def test_an_image_holds_nothing_of_the_machine_that_built_it(images: Any, target: str) -> None:
    code = """
import os, pathlib
print([path for path in ("/etc/pip.conf", "/etc/uv/uv.toml") if os.path.exists(path)
       and pathlib.Path(path).stat().st_size])
print(sorted(name for name in os.environ if name.startswith(("PIP_", "UV_", "SSL_"))))
"""
    assert images.python(target, code).splitlines() == ["[]", "[]"]


def test_the_data_image_holds_the_current_tfdv(images: Any) -> None:
    code = "import tensorflow_data_validation as tfdv; print(tfdv.__version__)"
    assert images.python("data", code).splitlines()[-1] == "1.21.0"


@pytest.mark.parametrize("target", CONTAINERS)
def test_what_every_package_declares_is_there(images: Any, target: str) -> None:
    code = """
import importlib.metadata as metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
held = {canonicalize_name(one.name): one.version for one in metadata.distributions()}
for one in metadata.distributions():
    for line in one.requires or []:
        asked = Requirement(line)
        if asked.marker and not asked.marker.evaluate({"extra": ""}):
            continue
        found = held.get(canonicalize_name(asked.name))
        if found is None or not asked.specifier.contains(found, prereleases=True):
            print(one.name)
"""
    code = f"import sys\nsys.path.append('/packaging')\n{code}"
    packaging = Path(__import__("packaging").__file__).parent
    broken = images.python(target, code, volumes=[f"{packaging}:/packaging/packaging:ro"])
    assert {name.lower().replace("_", "-") for name in broken.splitlines()} <= DECLARED


@pytest.mark.parametrize("target", CONTAINERS)
def test_the_bill_of_materials_is_cyclonedx_and_names_what_the_lock_does(
    images: Any, target: str, repository: Path
) -> None:
    path = images.bills[target]
    valid = """
import pathlib, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = pathlib.Path(sys.argv[1]).read_text()
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
sys.exit(error and str(error))
"""
    tool = ["run", "--no-project", "--with", "cyclonedx-python-lib[json-validation]==11.12.0"]
    checked = subprocess.run(
        [find_uv_bin(), *tool, "python", "-c", valid, str(path)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    bill = json.loads(path.read_text())
    assert bill["specVersion"] == "1.6"
    assert bill["metadata"]["component"]["name"] == REFERENCES[target].rsplit(":", 1)[0]
    held = {canonicalize_name(one["name"]): one["version"] for one in bill["components"]}
    assert held["shipway"] == __version__
    name = "tensorflow-cpu" if target == "data" else "xgboost-cpu"
    lock = (repository / "components" / "images" / f"{target}.lock").read_text()
    assert f"\n{name}=={held[name]} " in f"\n{lock}"


def health_check(images: Any) -> list[str]:
    """The command; podman's answer to docker's API leaves it out."""
    words = [images.engine, "image", "inspect", REFERENCES["serve"]]
    (told,) = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return list((told["Config"].get("Healthcheck") or told["Healthcheck"])["Test"])


def test_the_serve_image_turns_healthy_and_answers(images: Any, shell: Any) -> None:
    package = shell.package
    check = health_check(images)
    assert check[0] == "CMD"
    container = images.create("serve", None, volumes=[f"{package}:/mnt/models:ro"])
    try:
        container.start()
        deadline = time.monotonic() + 60
        while container.exec_run(check[1:]).exit_code:
            container.reload()
            assert container.status == "running", container.logs().decode()
            assert time.monotonic() < deadline
            time.sleep(0.5)
        golden = json.loads((package / "golden.json").read_text())
        ask = f"""
import json, urllib.request as u
body = json.dumps({{"instances": {golden["rows"][:1]!r}}}).encode()
url = "http://127.0.0.1:8080/v1/models/churn:predict"
print(u.urlopen(u.Request(url, body, {{"content-type": "application/json"}})).read().decode())
"""
        said = container.exec_run(["python", "-c", ask])
        assert said.exit_code == 0, said.output.decode()
        (answer,) = json.loads(said.output)["predictions"]
        expected = golden["outputs"][0]["probabilities"]
        assert answer["probabilities"] == pytest.approx(expected, abs=1e-6)
        container.stop(timeout=20)
        container.reload()
        assert container.attrs["State"]["ExitCode"] == 0
    finally:
        container.remove(force=True)
