"""The manifests on a real API server, where KUBEBUILDER_ASSETS names one as envtest does."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shipway.components.lib.access import RULES, check_access
from shipway.components.lib.cluster import Cluster
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.inference_service import KIND, as_canary, predictor, service
from tests.manifests.conftest import MANIFESTS
from tests.manifests.schemas import CRDS, OWN, needs_crds

ASSETS = Path(os.environ.get("KUBEBUILDER_ASSETS", "/nowhere"))
KUBECTL = shutil.which("kubectl", path=f"{ASSETS}:{os.environ['PATH']}")
START_SECONDS = 90
pytestmark = [
    pytest.mark.slow,
    needs_crds,
    pytest.mark.skipif(
        not (ASSETS / "kube-apiserver").is_file() or KUBECTL is None,
        reason="KUBEBUILDER_ASSETS names no folder with etcd and kube-apiserver, or kubectl lacks",
    ),
]
Kubectl = Callable[..., str]


def kubeconfig(path: Path, port: int, token: str) -> Path:
    cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config))
    return path


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [bound.getsockname()[1] for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports


def running(kubectl: Kubectl) -> bool:
    try:
        return kubectl("get", "--raw", "/readyz") == "ok"
    except subprocess.CalledProcessError:
        return False


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory) -> Iterator[Kubectl]:
    """Kubectl as administrator of a server that has KServe's kinds, the overlays' namespaces."""
    place = tmp_path_factory.mktemp("server")
    client, peer, port = free_ports(3)
    (place / "tokens.csv").write_text("administrator,admin,admin,system:masters\n")
    keys = ["openssl", "genrsa", "-out", place / "sa.key", "2048"]
    subprocess.run(keys, check=True, capture_output=True)
    own, other = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    etcd = [ASSETS / "etcd", f"--data-dir={place}/etcd", f"--listen-client-urls={own}"]
    etcd += [f"--advertise-client-urls={own}", f"--listen-peer-urls={other}"]
    etcd += [f"--initial-advertise-peer-urls={other}", f"--initial-cluster=default={other}"]
    server = [ASSETS / "kube-apiserver", f"--etcd-servers={own}", "--bind-address=127.0.0.1"]
    server += [f"--secure-port={port}", f"--cert-dir={place}", "--authorization-mode=RBAC"]
    server += [f"--token-auth-file={place}/tokens.csv", "--service-cluster-ip-range=10.0.0.0/24"]
    server += ["--service-account-issuer=https://shipway", "--endpoint-reconciler-type=none"]
    server += [f"--service-account-key-file={place}/sa.key"]
    server += [f"--service-account-signing-key-file={place}/sa.key"]
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig(place / "admin", port, "administrator"))
    }

    def call(*arguments: object, given: str = "") -> str:
        command = [KUBECTL, *map(str, arguments)]
        return subprocess.run(
            command, env=environment, input=given, capture_output=True, text=True, check=True
        ).stdout

    with (place / "log").open("w") as log:
        started = [subprocess.Popen(c, stdout=log, stderr=log) for c in (etcd, server)]
        try:
            deadline = time.monotonic() + START_SECONDS
            while not running(call):
                assert time.monotonic() < deadline, (place / "log").read_text()[-2000:]
                time.sleep(0.5)
            call(
                "apply", "--server-side", *(part for file in (CRDS, *OWN) for part in ("-f", file))
            )
            for namespace in ("kubeflow", "models", "kserve"):
                call("create", "namespace", namespace)
            call("wait", "--for=condition=Established", "crd", "--all")
            yield call
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(30)


@pytest.fixture(scope="module")
def applied(kubectl) -> Kubectl:
    for folder in ("base/cluster", "overlays/dev", "overlays/prod"):
        kubectl("apply", "--server-side", "--validate=strict", "-k", MANIFESTS / folder)
    return kubectl


@pytest.fixture
def deployer(applied, tmp_path, monkeypatch) -> Cluster:
    """The namespace of `prod` as the pipelines' account sees it."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    account |= {"metadata": {"name": "pipeline-runner", "namespace": "kubeflow"}}
    applied("apply", "--server-side", "-f", "-", given=json.dumps(account))
    token = applied("create", "token", "pipeline-runner", "-n", "kubeflow").strip()
    config = json.loads(applied("config", "view", "--raw", "-o", "json"))
    port = int(config["clusters"][0]["cluster"]["server"].rpartition(":")[2])
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "runner", port, token)))
    return Cluster("models")


@pytest.mark.parametrize("mode", ["Knative", "Standard"])
def test_the_roles_rules_are_all_that_the_deployer_needs(applied, deployer, mode):
    check_access(deployer, mode)
    role = json.loads(applied("get", "role", "shipway-deployer", "-n", "models", "-o", "json"))
    needed = {(rule.group, rule.resource) for rule in RULES if rule.mode in ("", mode)}
    try:
        for lost in role["rules"]:
            kept = [rule for rule in role["rules"] if rule != lost]
            patch = ["patch", "role", "shipway-deployer", "-n", "models", "--type=merge", "-p"]
            applied(*patch, json.dumps({"rules": kept}))
            time.sleep(0.5)  # the authorizer reads what it watches
            if (lost["apiGroups"][0], lost["resources"][0]) in needed:
                with pytest.raises(ConfigurationError, match=f'"{lost["resources"][0]}"'):
                    check_access(deployer, mode)
            else:
                check_access(deployer, mode)
    finally:
        applied("apply", "--server-side", "--force-conflicts", "-k", MANIFESTS / "overlays/prod")


def test_settings_of_a_model_outlive_a_deployment(applied, deployer):
    def body(version: str) -> dict:
        return predictor(f"gs://b/churn/{version}", version, "d" * 64, "c", "shipway-models", 2)

    def standing() -> dict:
        return deployer.get(KIND, "churn")["spec"]

    deployer.apply(service("churn", "models", "Standard", {"predictor": body("1")}))
    model = applied("kustomize", MANIFESTS / "overlays/model").replace("kubeflow", "models")
    applied("apply", "--server-side", "--validate=strict", "-f", "-", given=model)
    canary = as_canary(body("2"), "2", 10)
    spec = {"predictor": body("1"), "canary": [canary]}
    deployer.apply(service("churn", "models", "Standard", spec))
    assert [entry["trafficPercent"] for entry in standing()["canary"]] == [10]
    deployer.apply(service("churn", "models", "Standard", {"predictor": body("2")}))
    assert "canary" not in standing()
    assert standing()["predictor"]["model"]["storageUri"].endswith("/2")
    assert standing()["predictor"]["maxReplicas"] == 6
    deployer.delete(KIND, "churn")
