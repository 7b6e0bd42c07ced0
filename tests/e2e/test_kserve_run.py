"""The compiled pipeline to a cluster: bucket, API, controller and network over HTTP, real servers.

Only the Kubernetes API and what KServe does behind it are played (tests/kubernetes).
"""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import httpx
import pytest
from rich.console import Console

from shipway.components.lib.model_store import open_store
from shipway.components.lib.ports import free_port
from shipway.pipelines.run import Run, start
from shipway.pipelines.sample import write_sample
from shipway.pipelines.specs import load_compiled
from tests.kubernetes import api as apis
from tests.kubernetes import controller as controllers
from tests.kubernetes import network as networks
from tests.kubernetes.admission import webhook
from tests.kubernetes.conftest import kubeconfig
from tests.storage import google_api

STORE = "gs://models/team"
pytestmark = pytest.mark.slow


class Kubelet(dict[str, Any]):
    """Starts a model server for each storage URI."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.lock = Lock()

    def start(self, body: dict[str, Any]) -> None:
        """Begin with the servers of a service that was applied."""
        predictors = [body["spec"]["predictor"]]
        predictors += [canary["predictor"] for canary in body["spec"].get("canary", [])]
        for predictor in predictors:
            Thread(target=self.get, args=(predictor["model"]["storageUri"],)).start()

    def get(self, uri: str, default: Any = None) -> Any:
        with self.lock:
            return self._server(uri)

    def _server(self, uri: str) -> Any:
        if uri not in self:
            version, port = uri.rsplit("/", 1)[1], free_port()
            package = open_store(STORE).download("churn", version)
            command = [sys.executable, "-m", "shipway.components.predictor"]
            command += ["--model_dir", str(package), "--model_name", "churn"]
            command += ["--http_port", str(port), f"--model_version={version}"]
            self.processes.append(subprocess.Popen(command))
            url = f"http://127.0.0.1:{port}"
            transport = httpx.HTTPTransport(retries=7)
            with httpx.Client(trust_env=False, transport=transport) as client:
                client.get(f"{url}/v2/models/churn/ready").raise_for_status()
            self[uri] = networks.Server("", url=url)
        return self[uri]


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    api = apis.Api(admit=webhook, groups={"serving.knative.dev"})
    controller = controllers.Controller(api, controllers.Script(slow=1))
    api.seen = controller.on_seen
    kubelet = Kubelet()
    api.on_write = lambda count: kubelet.start(api.writes[-1])
    network = networks.Network(controller, kubelet)
    with google_api.running() as google, apis.running(api), networks.running(network):
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig(api.url)))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.url)
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, network.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1")
        yield network
        for process in kubelet.processes:
            process.terminate()
            process.wait(30)


def run(state: Path, data: Path, **given: Any) -> Run:
    given = {
        "data_uri": str(data),
        "label": "churned",
        "model_name": "churn",
        "model_store": STORE,
        "serving_target": "kserve",
        "serving_namespace": "team",
    } | given
    console = Console(file=io.StringIO(), width=200)
    return start(load_compiled("train-and-deploy"), given, state, console)


def decision_of(run: Run) -> Any:
    return json.loads(run.artifact("release-model", "decision").read_text())


def test_two_versions_reach_a_cluster_and_the_second_by_steps(
    network: Any, tmp_path: Path, repository: Path
) -> None:
    state = tmp_path / ".shipway"
    state.mkdir()
    (repository / ".shipway" / "envs").mkdir(parents=True, exist_ok=True)
    (state / "envs").symlink_to(repository / ".shipway" / "envs")
    data = write_sample(tmp_path, 4000, 0, False, False)

    first = run(state, data)
    assert not first.failed, [step.log.read_text()[-3000:] for step in first.failed]
    assert not first.stopped_by, decision_of(first)
    assert first.endpoint == "http://churn.team.svc.cluster.local"
    second = run(state, data, traffic_steps=[20, 100], bake_seconds=2.0)
    assert not second.failed, [step.log.read_text()[-3000:] for step in second.failed]
    assert not second.stopped_by, decision_of(second)
    assert second.endpoint == first.endpoint

    slices = {rule["slice"] for rule in decision_of(second)["rules"]}
    assert slices >= {"20% of the traffic", "100% of the traffic"}
    champion = open_store(STORE).champion("churn")
    assert champion.version == "2"
    golden = json.loads((second.artifact("train-model", "model") / "golden.json").read_text())
    rows = {"instances": golden["rows"]}
    answer = httpx.post(f"{second.endpoint}/v1/models/churn:predict", json=rows)
    assert answer.headers["x-shipway-model-digest"] == champion.digest
    assert [one["label"] for one in answer.json()["predictions"]] == [
        one["label"] for one in golden["outputs"]
    ]
