"""A search by Katib: the Experiment, its trials as processes, what comes back, and what is left."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pytest
from werkzeug.serving import make_server

from shipway.components.features.logic import fit
from shipway.components.lib import cluster as cluster_module
from shipway.components.lib.access import TUNING
from shipway.components.lib.errors import ConfigurationError, EndpointError
from shipway.components.lib.tables import write_table
from shipway.components.tune import katib as search
from shipway.components.tune.experiment import manifest
from shipway.components.tune.layout import layout_of, one_trial
from shipway.components.tune.logic import tune
from shipway.components.tune.request import Request
from tests.kubernetes.conftest import HERE, kubeconfig, load
from tests.loopback import answering
from tests.manifests.schemas import problems

FIXED = {"num_boost_round": 8.0, "early_stopping_rounds": 4.0, "eta": 0.3, "nthread": 1.0}
FIXED |= {"max_bin": 32.0, "reg_alpha": 1.0, "colsample_bynode": 1.0}
REQUEST = Request(FIXED, seconds=2400, trials=2, tuner="katib")
POD = {
    "metadata": {"name": "tune-pod", "uid": "u-1", "namespace": "team"},
    "spec": {
        "serviceAccountName": "pipeline-runner",
        "containers": [
            {"name": "wait", "image": "argo"},
            {
                "name": "main",
                "image": "example.org/shipway-train:1",
                "env": [{"name": "KFP_RUN_ID", "value": "r"}],
                "resources": {"requests": {"cpu": "2"}},
            },
        ],
    },
}
TABLES = ("train", "validation", "plan")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("tables")
    draw = np.random.default_rng(0)
    for name, rows in (("train", 240), ("validation", 120)):
        x, z = draw.normal(size=(2, rows))
        label = np.where(x * (z > 0) + draw.normal(scale=0.5, size=rows) > 0, "yes", "no")
        write_table(pa.table({"x": x, "z": z, "label": label}), here / name)
    fit(here / "train", "label", here / "plan", here / "features.html")
    return here


@pytest.fixture
def bucket(tables: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The tables in a bucket, as Kubeflow Pipelines names them: their URIs."""
    moto = pytest.importorskip("moto.server")
    app = moto.DomainDispatcherApplication(moto.create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    with answering(server):
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="runs")
        for name in TABLES:
            place = tables / name
            for file in [place] if place.is_file() else sorted(place.glob("*.parquet")):
                client.upload_file(str(file), "runs", f"1/{file.relative_to(tables)}")
        uris = {name: f"minio://runs/1/{name}" for name in TABLES}
        yield uris | {"study": "minio://runs/1/study"}


@pytest.fixture
def world(bucket: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    kube_config = pytest.importorskip("kubernetes.config.kube_config")
    apis, katibs = (load(HERE / f"{name}.py") for name in ("api", "katib"))
    api = apis.Api(admit=lambda body: problems(body) or katibs.webhook(body))
    api.objects["pods", "team", "tune-pod"] = POD
    controller = katibs.Katib(api, dict(os.environ) | {"OMP_WAIT_POLICY": "passive"})
    api.seen = controller.on_seen
    with apis.running(api):
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(api.url)))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        monkeypatch.setenv("POD_NAMESPACE", "team")
        monkeypatch.setenv("KFP_POD_NAME", "tune-pod")
        monkeypatch.setattr(cluster_module, "BACKOFF_SECONDS", 0.01)
        monkeypatch.setattr(search, "POLL_SECONDS", 0.2)
        yield SimpleNamespace(api=api, katib=controller, uris=bucket)
        for thread in controller.threads:
            thread.join(60)


def run(tables: Path, path: Path, request: Request, uris: dict[str, str]) -> Any:
    inputs = [tables / name for name in TABLES]
    return tune(*inputs, path / "study", path / "study.html", request, path / "journal", uris)


def test_trials_run_as_pods_and_the_best_comes_back_as_numbers(
    world: Any, tables: Path, tmp_path: Path
) -> None:
    result = run(tables, tmp_path, REQUEST, world.uris)
    study = json.loads((tmp_path / "study").read_text())
    assert len(world.katib.ran) == len(study["trials"]) == 2
    assert all(isinstance(value, float) for value in result.parameters.values())
    assert result.parameters.items() >= FIXED.items()
    assert {one["name"] for one in study["finalists"]} >= {"defaults", "trial 0"}
    assert study["trials"][0]["loss"] <= study["trials"][1]["loss"]  # Katib's optimal one is first
    assert isinstance(study["trials"][0]["parameters"]["max_depth"], int)
    # Optuna's own trial of the same values comes to the same loss.
    layout = layout_of(*[tables / name for name in TABLES], REQUEST)
    again = one_trial(layout, study["trials"][0]["parameters"])
    assert again.loss == pytest.approx(study["trials"][0]["loss"], rel=1e-6)
    # Nothing is left on the cluster, and no trial had another table than the step.
    assert not [key for key in world.api.objects if key[0] == "experiments"]
    assert all("--train=s3://runs/1/train" in command for command in world.katib.ran)
    assert not (tmp_path / "journal").exists()


def test_the_experiment_is_what_katib_takes_and_what_the_step_is(tables: Path) -> None:
    layout = layout_of(*[tables / name for name in TABLES], REQUEST)
    body = manifest("shipway-1", layout.space, REQUEST, {"plan": "s3://runs/1/plan"}, POD)
    assert problems(body) == []
    assert load(HERE / "katib.py").webhook(body) == []
    job = body["spec"]["trialTemplate"]["trialSpec"]
    assert problems(job | {"metadata": {"name": "trial-0"}}) == []
    pod = job["spec"]["template"]["spec"]
    main = POD["spec"]["containers"][1]
    assert pod["serviceAccountName"] == "pipeline-runner"
    assert pod["containers"][0]["image"] == main["image"]
    assert pod["containers"][0]["resources"] == main["resources"]
    assert pod["containers"][0]["env"] == []  # the run's own variables are none of a trial's
    assert body["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    spaces = {one["name"]: one["feasibleSpace"] for one in body["spec"]["parameters"]}
    assert spaces["reg_lambda"] == {"min": "0.01", "max": "50", "distribution": "logUniform"}
    assert spaces["max_depth"] == {"min": "1", "max": "6"}
    assert not spaces.keys() & FIXED.keys()


@pytest.mark.parametrize(
    "wrong",
    [
        {"maxTrialCount": 0},
        {"trialTemplate": {}},
        {"maxTrials": 3},
        {"parameters": []},
        {"objective": {"type": "least", "objectiveMetricName": "loss"}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_the_schema_refuses_what_katib_would(tables: Path, wrong: dict[str, Any]) -> None:
    layout = layout_of(*[tables / name for name in TABLES], REQUEST)
    body = manifest("shipway-1", layout.space, REQUEST, {}, POD)
    assert problems(body | {"spec": body["spec"] | wrong}) != []


def test_a_step_that_is_tried_again_finds_its_experiment(
    world: Any, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = replace(REQUEST, trials=1)

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search, "_ended", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tables, tmp_path, request, world.uris)
    assert [key for key in world.api.objects if key[0] == "experiments"]
    run(tables, tmp_path, request, world.uris)
    assert len(world.katib.ran) == 1  # and not two
    assert len([body for body in world.api.writes if body["kind"] == "Experiment"]) == 1


def test_a_search_without_a_good_trial_is_an_error_that_says_where_to_look(
    world: Any, tables: Path, tmp_path: Path
) -> None:
    world.katib.break_trials = True
    with pytest.raises(EndpointError, match=r"before a trial succeeded.*metrics"):
        run(tables, tmp_path, replace(REQUEST, trials=3, jobs=1), world.uris)
    assert not [key for key in world.api.objects if key[0] == "experiments"]


def test_a_missing_right_is_told_with_its_rule(world: Any, tables: Path, tmp_path: Path) -> None:
    world.api.denied.add(("create", "kubeflow.org", "experiments"))
    with pytest.raises(ConfigurationError, match=r"manifests/components/tuning[^$]*\[create\]"):
        run(tables, tmp_path, REQUEST, world.uris)
    assert world.api.writes == []


@pytest.mark.parametrize("pod", ["", "tune-pod"])
def test_without_a_cluster_katib_is_refused_with_the_cure(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pod: str
) -> None:
    monkeypatch.delenv("KFP_POD_NAME", raising=False)
    if pod:
        monkeypatch.setenv("KFP_POD_NAME", pod)
    with pytest.raises(ConfigurationError, match=r"tuner=katib runs.*tuner=optuna"):
        run(tables, tmp_path, REQUEST, {})


def test_the_component_grants_what_the_step_asks_for() -> None:
    import yaml

    text = (HERE.parents[1] / "manifests/components/tuning/access.yaml").read_text()
    role = next(one for one in yaml.safe_load_all(text) if one["kind"] == "Role")
    granted = {(r["apiGroups"][0], r["resources"][0], *r["verbs"]) for r in role["rules"]}
    assert granted == {(rule.group, rule.resource, *rule.verbs) for rule in TUNING}
