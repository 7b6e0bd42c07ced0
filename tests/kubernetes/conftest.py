"""A cluster on this machine: its API, KServe's controller, its network; and a store in a bucket."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shipway.components.lib import cluster as cluster_module
from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_package import FORMAT, REQUIRED
from shipway.components.lib.model_store import DirectoryStore
from shipway.components.release import bake

HERE = Path(__file__).parent


def load(path: Path) -> ModuleType:
    """A module beside the tests: test modules cannot import one by name."""
    name = f"shipway_tests_{path.parent.name}_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@dataclass
class World:
    """What the tests look at.

    Attributes:
        api: the Kubernetes API.
        script: how the controller behaves.
        network: the cluster's network, with a server behind each version's URI.
        store: versions 1, 2 and 3 of the model taxi, none promoted.
    """

    api: Any
    script: Any
    network: Any
    store: DirectoryStore

    @property
    def service(self) -> dict[str, Any] | None:
        return self.api.objects.get(("inferenceservices", "team", "taxi"))

    def server(self, version: str) -> Any:
        return self.network.servers[self.store.uri("taxi", version)]

    def share(self, version: str) -> int:
        """Percent of the callers' traffic that a version gets, by where the network leads."""
        return sum(server is self.server(version) for server in self._answering())

    def unrouted(self) -> int:
        """Percent of the callers' traffic that nothing answers."""
        return sum(server is None for server in self._answering())

    def _answering(self) -> list[Any]:
        service = "taxi" if self.script.default_mode == "Knative" else "taxi-predictor"
        return [self.network.server(f"{service}.team") for _ in range(100)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    kube_config = pytest.importorskip("kubernetes.config.kube_config")
    apis, controllers, networks = (load(HERE / f"{n}.py") for n in ("api", "controller", "network"))
    admission, schemas = load(HERE / "admission.py"), load(HERE.parent / "manifests" / "schemas.py")

    def admit(body: dict[str, Any]) -> list[str]:
        known = schemas.problems(body) if schemas.CRDS.is_dir() else []
        return known or admission.webhook(body)

    api = apis.Api(admit=admit)
    controller = controllers.Controller(api)
    api.seen = controller.on_seen
    network = networks.Network(controller)
    store = Bucket(tmp_path / "store")
    for version in ("1", "2", "3"):
        package = make_package(tmp_path / version, version)
        store.register("taxi", package, {})
        outputs = {1.0: float(version), 2.0: 2 * float(version)}
        digest = sha256_of(package / "manifest.json")
        network.servers[store.uri("taxi", version)] = networks.Server(digest, outputs)
    with apis.running(api), networks.running(network):
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(api.url)))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setenv("KUBECONFIG", str(path))
        # The client reads KUBECONFIG when it is imported, which may have been before.
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, network.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1")
        monkeypatch.setattr(cluster_module, "BACKOFF_SECONDS", 0.01)
        monkeypatch.setattr(bake, "SETTLE_SECONDS", 1.0)
        yield World(api, controller.script, network, store)


def kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": {}}],
    }


def make_package(path: Path, version: str) -> Path:
    """A whole package with golden rows, but without a model."""
    path.mkdir()
    for name in REQUIRED:
        (path / name).write_text(f"{name} {version}")
    rows, value = [{"x": 1.0}, {"x": 2.0}], float(version)
    outputs = [{"value": value}, {"value": 2 * value}]
    (path / "golden.json").write_text(json.dumps({"rows": rows, "outputs": outputs}))
    features = [{"name": "x", "dtype": "number"}]
    (path / "signature.json").write_text(json.dumps({"features": features}))
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


@pytest.fixture(params=["Knative", "Standard"])
def mode(request: pytest.FixtureRequest, world: World) -> str:
    """The test runs in both deployment modes."""
    world.script.default_mode = request.param
    if request.param == "Knative":
        world.api.groups.add("serving.knative.dev")
    return request.param


@pytest.fixture
def bring_up(world: World) -> Callable[..., Any]:
    from shipway.components.deploy.kserve import KServeTarget, deploy_kserve

    def bringing(version: str, seconds: float = 2.0, **target: Any) -> Any:
        chosen = KServeTarget(**{"namespace": "team", "ready_seconds": seconds} | target)
        return deploy_kserve(world.store, version, "taxi", chosen)

    return bringing
