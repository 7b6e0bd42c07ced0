"""A Kubernetes API on this machine and a kubeconfig that points to it; a store in a bucket."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_package import FORMAT, REQUIRED
from shipway.components.lib.model_store import DirectoryStore


@pytest.fixture(scope="session")
def kubernetes_api() -> ModuleType:
    """tests/kubernetes/api.py: test modules cannot import it by name."""
    spec = importlib.util.spec_from_file_location(
        "shipway_tests_kubernetes_api", Path(__file__).with_name("api.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def api(
    kubernetes_api: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    kube_config = pytest.importorskip("kubernetes.config.kube_config")
    with kubernetes_api.running() as api:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": api.url}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "users": [{"name": "me", "user": {}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setenv("KUBECONFIG", str(path))
        # The client reads KUBECONFIG when it is imported, which may have been before.
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        yield api


def make_package(path: Path, content: str) -> Path:
    path.mkdir()
    for name in REQUIRED:
        (path / name).write_text(f"{name} {content}")
    files = {
        name: {"bytes": (path / name).stat().st_size, "sha256": sha256_of(path / name)}
        for name in REQUIRED
    }
    manifest = {"format": FORMAT, "code_version": "0.1.0", "files": files}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


class Bucket(DirectoryStore):
    """A directory in the place of a bucket: model servers are told gs:// all the same."""

    def uri(self, model_name: str, version: str) -> str:
        return f"gs://models/{model_name}/versions/{version}"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """Two versions of the model taxi, none promoted."""
    bucket = Bucket(tmp_path / "store")
    for content in ("1", "2"):
        bucket.register("taxi", make_package(tmp_path / content, content), {})
    return bucket
