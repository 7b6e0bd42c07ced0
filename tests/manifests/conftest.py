"""Manifests built by the real kustomize."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving.servers import Served, run_server
from tests.serving.trips import train_model

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = REPOSITORY / "manifests"
TOOLS = REPOSITORY / "build" / "tools"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"

Objects = list[dict[str, Any]]
Build = Callable[[Path], Objects]


def find_kustomize() -> list[str]:
    """The command that builds a folder; installed by Go where there is none yet."""
    own = TOOLS / "kustomize"
    if own.is_file():
        return [str(own), "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if not shutil.which("go"):
        pytest.skip("there is neither kustomize nor kubectl, nor go to install kustomize with")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not own.is_file():
            environment = os.environ | {"GOBIN": str(TOOLS), "GOFLAGS": ""}
            subprocess.run(["go", "install", KUSTOMIZE], env=environment, check=True)
    return [str(own), "build"]


@pytest.fixture(scope="session")
def build() -> Build:
    command = find_kustomize()

    def built(folder: Path) -> Objects:
        # A proxy that does not answer: a build that asks the network fails.
        environment = os.environ | {"HTTPS_PROXY": "http://127.0.0.1:9", "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(
            [*command, str(folder)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "deprecated" not in done.stderr
        return [obj for obj in yaml.load_all(done.stdout, yaml.CSafeLoader) if obj]

    return built


@pytest.fixture
def overlay(build, tmp_path) -> Callable[..., Objects]:
    """Builds the base and a model with more written into the kustomization."""

    def built(**more: object) -> Objects:
        def path(part: str) -> str:
            return os.path.relpath(MANIFESTS / part, tmp_path.resolve())

        model = yaml.safe_load((MANIFESTS / "overlays/model/model.yaml").read_text())
        (tmp_path / "model.yaml").write_text(yaml.safe_dump(model))
        more["components"] = [path(part) for part in more.get("components", [])]
        kustomization = {"namespace": "ours", "resources": [path("base"), "model.yaml"], **more}
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return build(tmp_path.resolve())

    return built


@pytest.fixture(scope="session")
def prod(build) -> Objects:
    return build(MANIFESTS / "overlays/prod")


@pytest.fixture(scope="session")
def runtime(prod) -> dict[str, Any]:
    return one(prod, "ServingRuntime")["spec"]


def one(objects: Objects, kind: str, name: str = "") -> dict[str, Any]:
    """The only object of a kind, or of a kind and a name."""
    (found,) = (o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"]))
    return found


@pytest.fixture(scope="session")
def server(runtime, tmp_path_factory) -> Iterator[Served]:
    """A model server, started with the runtime's own arguments for an InferenceService `churn`."""
    package = train_model("binary", tmp_path_factory.mktemp("model") / "package").path
    arguments = [text.replace("{{.Name}}", "churn") for text in runtime["containers"][0]["args"]]
    here = {"--model_dir=/mnt/models", "--host=0.0.0.0", "--http_port=8080"}
    assert here <= set(arguments)
    with run_server(package, *(a for a in arguments if a not in here)) as served:
        yield served
