"""The locks: whole, hashed, of no machine in particular, and in step with what asks for them."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shipway.components.lib.images import TARGETS

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = sorted(TARGETS.values())
STEP_LOCKS = [*CONTAINERS, "data-local"]
LOCKS = [*STEP_LOCKS, "cli", "dev"]
# Import names that are not their distribution's name.
DISTRIBUTIONS = {
    "google.api_core": "google-api-core",
    "grpc": "grpcio",
    "google.auth": "google-auth",
    "google.cloud": "google-cloud-storage",
    "google.protobuf": "protobuf",
    "phonenumbers": "phonenumberslite",
    "simdjson": "pysimdjson",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
    "xgboost": "xgboost-cpu",
    "yaml": "pyyaml",
}
# Imported inside functions that these steps never call, fitting a calibrator and drawing a chart,
# or only where an extra brought it: tracing.
NOT_REACHED = {"serve": {"scikit-learn", "vl-convert-python", "opentelemetry"}}


def test_every_lock_is_known(images):
    assert sorted(path.stem for path in images.folder.glob("*.lock")) == sorted(LOCKS)


@pytest.mark.parametrize("name", LOCKS)
def test_locks_carry_hashes_and_no_place(images, name):
    text = (images.folder / f"{name}.lock").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(#|--(?!hash=)|-[a-z])|\s@\s|file:", text, re.MULTILINE)
    assert all(pin.hashes for pins in images.lock(name).values() for pin in pins)
    assert all(re.fullmatch(r"[0-9][^,*]*", v) for vs in images.versions(name).values() for v in vs)


@pytest.mark.parametrize("name", LOCKS)
def test_locks_hold_what_is_asked_for(images, name):
    versions = images.versions(name)
    for key, requirement in images.requirements(f"{name}.in").items():
        assert key in versions, f"run make lock: {name}.lock lacks {key}"
        assert all(requirement.specifier.contains(version) for version in versions[key])


@pytest.mark.parametrize("name", [name for name in LOCKS if name != "data-local"])
def test_shared_pins_agree(images, name):
    versions = images.versions(name)
    shared = images.requirements("constraints.txt")
    assert {"numpy", "pandas", "pyarrow", "xgboost-cpu", "scikit-learn"} <= shared.keys()
    for key, requirement in shared.items():
        for version in versions.get(key, ()):
            assert str(requirement.specifier) == f"=={version}"


@pytest.mark.parametrize("name", ["cli", "train", "serve"])
def test_the_development_lock_is_a_superset(images, name):
    development = images.versions("dev")
    for key, versions in images.versions(name).items():
        assert versions <= development.get(key, set()), key


@pytest.mark.parametrize("name", STEP_LOCKS)
def test_kfp_comes_alone(images, name):
    versions = images.versions(name)
    asked = images.requirements("kfp.in")["kfp"]
    assert [str(asked.specifier)] == [f"=={version}" for version in versions["kfp"]]
    assert str(images.requirements("cli.in")["kfp"]) == str(asked)
    assert not {"kfp-pipeline-spec", "kfp-server-api"} & versions.keys()


def test_images_stay_light(images):
    assert not {"kserve", "fastapi", "tensorflow-cpu"} & images.lock("train").keys()
    assert not {"scikit-learn", "tensorflow-cpu"} & images.lock("serve").keys()
    data = images.lock("data").keys()
    assert not {"xgboost-cpu", "kserve", "tensorflow", "google-cloud-aiplatform"} & data
    for name in LOCKS:
        assert not [key for key in images.lock(name) if key.startswith("nvidia-")]


@pytest.mark.parametrize(
    "extra, lock", [("local", "cli"), ("dev", "dev"), *zip(CONTAINERS, CONTAINERS, strict=True)]
)
def test_extras_ask_for_no_more_than_the_locks(images, extra, lock):
    versions = images.versions(lock)
    wanted: dict[str, Requirement] = images.extra(extra)
    if extra == "local":
        wanted = images.extra("") | wanted
    assert wanted
    for key, requirement in wanted.items():
        assert key in versions, f"{lock}.lock lacks {key} of extra {extra}"
        assert all(requirement.specifier.contains(version) for version in versions[key])


@pytest.mark.parametrize("name", ["cli", "dev", *CONTAINERS])
def test_direct_requirements_stand_in_an_extra(images, name):
    """Who installs an extra gets all that the image's steps import."""
    known = images.extra("") | images.extra("local") | images.extra("dev")
    for target in CONTAINERS:
        known |= images.extra(target)
    # The extra asks for TFDV, which brings the TensorFlow that it needs.
    asked = images.requirements(f"{name}.in").keys() - {"tensorflow-cpu"}
    assert asked <= known.keys()


def test_one_version_of_uv(images):
    (version,) = images.versions("cli")["uv"]
    assert f"UV_VERSION := {version}\n" in (ROOT / "Makefile").read_text()
    assert f"uv=={version} " in (images.folder / "Dockerfile").read_text()


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reach(paths: list[Path]) -> set[str]:
    """Everything that modules import, and those of this package that they import in turn."""
    names: set[str] = set()
    seen: set[Path] = set()
    while paths:
        path = paths.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imports_of(path):
            names.add(name)
            parts = name.split(".")
            for end in (len(parts), len(parts) - 1):
                module = ROOT.joinpath(*parts[1:end]).with_suffix(".py")
                if parts[0] == "shipway" and module.is_file():
                    paths.append(module)
    return names


def distributions(names: set[str]) -> set[str]:
    found = set()
    for name in names:
        top = name.split(".")[0]
        if top == "shipway" or top in sys.stdlib_module_names:
            continue
        key = ".".join(name.split(".")[:2]) if top == "google" else top
        found.add(canonicalize_name(DISTRIBUTIONS.get(key, key)))
    return found


@pytest.mark.parametrize("lock", STEP_LOCKS)
def test_what_the_steps_of_an_image_import_is_in_its_lock(images, lock):
    target = lock.removesuffix("-local")
    faces = [
        path
        for path in (ROOT / "components").glob("*/component.py")
        if f"base_image={target.upper()}," in path.read_text()
    ]
    assert faces
    modules = [module for path in faces for module in path.parent.glob("*.py")]
    if target == "serve":
        modules += (ROOT / "components" / "predictor").glob("*.py")
    asked = distributions(reach(modules))
    assert {"kfp", "pyarrow"} <= asked
    assert asked - images.lock(lock).keys() == NOT_REACHED.get(lock, set())


def test_what_the_command_line_imports_is_in_its_lock(images):
    modules = list((ROOT / "pipelines").glob("*.py"))
    direct = {name for path in modules for name in imports_of(path)}
    assert distributions(direct) <= images.lock("cli").keys()
