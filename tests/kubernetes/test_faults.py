"""The API fails, the deployer is killed: what stands is always a defined state."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipway.components.lib import cluster as cluster_module
from shipway.components.lib.cluster import Cluster
from shipway.components.lib.errors import ConfigurationError, EndpointError
from tests.forking import Forked, Forking

BringUp = Callable[..., Any]


@pytest.fixture
def fault(world: Any) -> Callable[..., Any]:
    kind = type(world.api).__init__.__globals__["Fault"]
    return lambda *args, **more: world.api.faults.append(kind(*args, **more))


@pytest.mark.parametrize("method", ["GET", "PATCH", "POST"])
@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_what_passes_is_tried_again(
    method: str, status: int, world: Any, mode: str, bring_up: BringUp, fault: Any
) -> None:
    bring_up("1")
    fault(method, status, times=3)
    assert bring_up("2").version == "2"
    assert [one.times for one in world.api.faults] == [0]
    assert (world.share("1"), world.share("2")) == (100, 0)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_cut_connection_or_a_lost_answer_is_asked_again(
    method: str, after: bool, world: Any, mode: str, bring_up: BringUp, fault: Any
) -> None:
    bring_up("1")
    fault(method, 0, times=2, after=after)
    bring_up("2")
    assert (world.share("1"), world.share("2")) == (100, 0)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "does not know us .*expired"),
        (403, "Not allowed to apply InferenceService 'taxi' in namespace 'team'.*manifests/base"),
        (422, "refused to apply InferenceService 'taxi' .* 422 the webhook says no"),
        (500, "500 the webhook says no"),
    ],
)
def test_a_refusal_is_told_with_its_message(
    status: int, said: str, world: Any, bring_up: BringUp, fault: Any
) -> None:
    fault("PATCH", status, times=100)
    with pytest.raises(EndpointError, match=said):
        bring_up("1")


def test_a_cluster_without_kserve_is_told(world: Any, bring_up: BringUp, fault: Any) -> None:
    fault("PATCH", 404)
    with pytest.raises(EndpointError, match="knows no InferenceService.*Install KServe"):
        bring_up("1")


def test_a_schema_that_refuses_a_field_is_told(world: Any, bring_up: BringUp) -> None:
    world.api.admit = lambda body: ["unknown field spec.predictor.model.args"]
    with pytest.raises(EndpointError, match="422 unknown field"):
        bring_up("1")


def test_a_service_that_is_deleted_meanwhile_is_told(
    world: Any, bring_up: BringUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.script.slow = 1000
    world.api.on_write = lambda count: world.api.objects.clear()
    with pytest.raises(EndpointError, match="was deleted while it was waited for"):
        bring_up("1")


def test_a_rollback_that_fails_too_is_told_beside_the_first_error(
    world: Any, mode: str, bring_up: BringUp, fault: Any
) -> None:
    bring_up("1")
    world.script.broken = {world.store.uri("taxi", "2"): "CrashLoopBackOff"}
    world.api.on_write = lambda count: fault("PATCH", 403, times=100)
    with pytest.raises(EndpointError, match="SHA-256 differs") as caught:
        bring_up("2")
    assert "Rolling back failed too: Not allowed to apply" in caught.value.__notes__[0]


def test_an_api_that_does_not_answer_is_told(
    world: Any, bring_up: BringUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "ATTEMPTS", 2)
    config = json.loads((tmp_path / "kubeconfig").read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    with pytest.raises(EndpointError, match="could not be reached to get InferenceService 'taxi'"):
        bring_up("1")


def test_without_a_cluster_the_cure_is_named(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kubeconfig").unlink()
    with pytest.raises(ConfigurationError, match="No Kubernetes cluster is configured.*local"):
        Cluster("team")


def test_a_namespace_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    with pytest.raises(ConfigurationError, match="set serving_namespace"):
        cluster_module.own_namespace("")
    monkeypatch.setenv("POD_NAMESPACE", "pod")
    assert cluster_module.own_namespace("") == "pod"
    assert cluster_module.own_namespace("given") == "given"


# Killed at each write

IMPORTS = """
import kubernetes.client
import shipway.components.deploy.kserve
import shipway.components.lib.model_store
import shipway.components.release.bake
import shipway.components.release.logic
"""
LIFE = """
import sys
from pathlib import Path
from shipway.components.deploy.kserve import KServeTarget, deploy_kserve
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.model_store import DirectoryStore
from shipway.components.lib.release_policy import ReleasePolicy
from shipway.components.release import bake, logic

class Bucket(DirectoryStore):
    def uri(self, model_name, version):
        return f"gs://models/{model_name}/versions/{version}"

root, version, verdict, mode = Path(sys.argv[1]), *sys.argv[2:]
store = Bucket(root / "store")
logic.open_store = lambda uri: store
bake.PAUSE_SECONDS = 0.02
steps = (50, 100)
target = KServeTarget("team", mode=mode, traffic_steps=steps, ready_seconds=5)
record = deploy_kserve(store, version, "taxi", target)
record.save(root / "record")
Decision("endpoint", "taxi", [Rule("golden", verdict, "golden rows.")]).save(root / "probe")
paths = [root / name for name in ("record", "probe", "decision", "page")]
print(logic.release(*paths, "taxi", "store", ReleasePolicy(steps)))
"""


@pytest.fixture
def live(world: Any, tmp_path: Path, mode: str) -> Callable[..., Forked]:
    """Deploy and release a version in a process of its own."""
    world.script.gateway = True
    forking = Forking(IMPORTS)  # after `world`: the client looks for KUBECONFIG as it is imported

    def living(version: str, verdict: str = "pass") -> Forked:
        return forking.start(LIFE, tmp_path, version, verdict, mode)

    return living


def said_by(process: Forked) -> str:
    """What a process says that ends well."""
    said = process.read(timeout=60)
    assert process.returncode == 0, said
    return said.split()[-1]


def killing(pid: int, write: int) -> Callable[[int], None]:
    return lambda count: os.kill(pid, signal.SIGKILL) if count == write else None


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_killed_at_any_write_and_run_again_it_comes_to_the_same_end(
    verdict: str, world: Any, live: Any
) -> None:
    said_by(live("1"))
    writes, killed = 1, 0
    while True:
        process = live("2", verdict)
        world.api.on_write = killing(process.pid, world.api.count + writes)
        if process.wait(60) != -signal.SIGKILL:
            break
        killed, writes = killed + 1, writes + 1
        world.api.on_write = lambda count: None
        assert world.share("3") == world.unrouted() == 0  # whatever was left, callers are served
        told = said_by(live("2", verdict))
        assert told == ("promoted" if verdict == "pass" else "rolled_back")
        version = "2" if verdict == "pass" else "1"
        assert world.store.champion("taxi").version == version
        assert world.share(version) == 100
        assert "canary" not in world.service["spec"]
        assert "canaryTrafficPercent" not in world.service["spec"]["predictor"]
        world.store.promote("taxi", "1", world.store.champion("taxi").version)
        said_by(live("1"))
    assert killed >= 2
