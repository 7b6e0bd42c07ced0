"""Packages to keep, and the services that keep them: each on loopback, over HTTP."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_package import FORMAT, REQUIRED
from shipway.components.lib.model_store import ModelStore, open_store
from shipway.components.lib.ports import free_port


def write_package(path: Path, content: str | bytes) -> Path:
    """A directory that is whole by its manifest; nothing here loads the model."""
    path.mkdir()
    for name in REQUIRED:
        (path / name).write_text(f"{name} {content}" if isinstance(content, str) else name)
    if isinstance(content, bytes):
        (path / "model.ubj").write_bytes(content)
    files = {
        name: {"bytes": (path / name).stat().st_size, "sha256": sha256_of(path / name)}
        for name in REQUIRED
    }
    (path / "manifest.json").write_text(json.dumps({"format": FORMAT, "files": files}))
    return path


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a package: its directory's name, and what its files hold or the model's bytes."""
    return lambda name, content: write_package(tmp_path / name, content)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return write_package(tmp_path / "one", "1")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return write_package(tmp_path / "two", "2")


def beside(name: str) -> ModuleType:
    """A module of this directory: test modules cannot import it by name."""
    spec = importlib.util.spec_from_file_location(
        f"shipway_tests_storage_{name}", Path(__file__).with_name(f"{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("google.cloud.storage")
    with beside("google_api").running() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found = pytest.importorskip("gcp_storage_emulator.server")
    port = free_port()
    running = found.create_server("127.0.0.1", port, in_memory=True, default_bucket="models")
    running.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    yield
    running.stop()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    boto3 = pytest.importorskip("boto3")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with beside("s3_api").running() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        server.client = boto3.client("s3", region_name="us-east-1")
        httpx.post(f"{server.url}/moto-api/reset")  # moto's state is its process's
        server.client.create_bucket(Bucket="models")
        yield server


PLACES = {"google": "gs://models/all/ours", "s3": "s3://models/all/ours"}


@pytest.fixture(params=["directory", *PLACES])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The places a store can be in; what they promise is the same."""
    if request.param == "directory":
        return str(tmp_path / "store")
    request.getfixturevalue(request.param)
    return PLACES[request.param]


@pytest.fixture
def store(uri: str) -> ModelStore:
    return open_store(uri)


@pytest.fixture
def registry() -> Iterator[Any]:
    with beside("registry_api").running() as server:
        yield server
