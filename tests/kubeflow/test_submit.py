"""`shipway submit`: what is sent, and to whom."""

import json
from pathlib import Path
from types import SimpleNamespace

import kfp_server_api
import pytest
import yaml

from shipway.components.lib.errors import ConfigurationError
from shipway.pipelines.connection import find_access
from shipway.pipelines.kubeflow import Settings
from shipway.pipelines.package import make_package
from shipway.pipelines.specs import load_compiled

PIPELINE = load_compiled("train-and-deploy")


def documents() -> list[dict]:
    return list(yaml.load_all(PIPELINE.path.read_text(), yaml.CSafeLoader))


def tasks(spec: dict) -> list[dict]:
    components = [spec["root"], *spec["components"].values()]
    return [task for one in components for task in one.get("dag", {}).get("tasks", {}).values()]


@pytest.fixture
def submit(connect):
    """Submits without the command."""

    def submit(kubeflow=None, name: str = "first", **options) -> str:
        package = make_package(PIPELINE)
        arguments = {"data_uri": "gs://b/t.csv", "row_limit": 10}
        return (kubeflow or connect(**options)).submit(package, arguments, Settings(name, "trial"))

    return submit


def test_a_run_is_started_with_typed_parameters_in_its_experiment(api, shipway, words) -> None:
    more = ["--set", "row_limit=10", "--set", "maximum_metrics=brier=0.2", "--service-account", "a"]
    result = shipway("submit", "train-and-deploy", "--host", api.url, *words, *more)
    assert result.returncode == 0, result.stderr
    (run,) = api.stored["runs"]
    (experiment,) = api.stored["experiments"]
    assert f"{api.url}/#/runs/details/{run['run_id']}" in result.stdout
    assert run["display_name"].startswith("train-and-deploy 20")
    assert experiment["display_name"] == "train-and-deploy"
    assert run["experiment_id"] == experiment["experiment_id"]
    assert run["service_account"] == "a"
    spec, platform = documents()
    assert run["pipeline_spec"] == {"pipeline_spec": spec, "platform_spec": platform}
    given = run["runtime_config"]["parameters"]
    assert given["row_limit"] == 10
    assert given["maximum_metrics"] == {"brier": 0.2}
    assert set(given) == {*(word.split("=")[0] for word in words[1::2]), "row_limit"} | {
        "maximum_metrics"
    }


@pytest.mark.parametrize(
    ("path", "message"),
    [("runs", "V2beta1Run"), ("experiments", "V2beta1Experiment")],
)
def test_bodies_are_messages_of_the_api(api, submit, path: str, message: str) -> None:
    submit()
    (asked,) = api.sent("POST", f"/{path}")
    client = kfp_server_api.ApiClient()
    model = client.deserialize(SimpleNamespace(data=json.dumps(asked.body)), message)
    assert client.sanitize_for_serialization(model) == asked.body


def test_the_official_client_reads_what_was_submitted(api, submit) -> None:
    kfp = pytest.importorskip("kfp")
    with pytest.warns(FutureWarning):
        client = kfp.Client(host=api.url)
    run = client.get_run(submit())
    assert run.display_name == "first"
    assert run.experiment_id == client.get_experiment(experiment_name="trial").experiment_id


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--set", "lable=y"], "Did you mean 'label'"),
        (["--set", "row_limit=many"], "'row_limit' must be a whole number"),
        (["--set", "label="], "'label' is required"),
        (["--set", "data_uri=trips.csv"], "path of this machine"),
        (["--set", "serving_target=local"], "shipway run"),
        (["--params", "nowhere.yaml"], "nowhere.yaml"),
        (["--timeout", "3"], "--wait"),
        (["--token-file", "nowhere"], "'nowhere'"),
        (["--ca-file", "nowhere.pem"], "nowhere.pem"),
    ],
)
def test_nothing_is_sent_of_a_wrong_request(api, shipway, words, more, expected) -> None:
    result = shipway("submit", "train-and-deploy", "--host", api.url, *words, *more)
    assert result.returncode in (1, 2)
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert api.asked == []


def test_without_a_cache_no_step_is_cached_however_deep_it_stands(api, shipway, words) -> None:
    assert any(task.get("cachingOptions") for task in tasks(documents()[0]))
    result = shipway("submit", "train-and-deploy", "--host", api.url, *words, "--no-cache")
    assert result.returncode == 0, result.stderr
    sent = api.stored["runs"][0]["pipeline_spec"]["pipeline_spec"]
    assert len(tasks(sent)) > 10
    assert [task["cachingOptions"] for task in tasks(sent)] == [{}] * len(tasks(sent))


def test_images_are_taken_from_another_registry(api, shipway, words) -> None:
    place = ["--registry", "registry.example/team", "--tag", "7"]
    result = shipway("submit", "train-and-deploy", "--host", api.url, *words, *place)
    assert result.returncode == 0, result.stderr
    spec = api.stored["runs"][0]["pipeline_spec"]["pipeline_spec"]
    images = {one["container"]["image"] for one in spec["deploymentSpec"]["executors"].values()}
    assert images == {
        f"registry.example/team/shipway-{name}:7" for name in ("data", "train", "serve")
    }


def test_images_that_are_not_ours_cannot_be_moved(tmp_path: Path) -> None:
    text = PIPELINE.path.read_text().replace("shipway-", "other-")
    (tmp_path / "other.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match="none of the images"):
        make_package(load_compiled(str(tmp_path / "other.yaml")), tag="7")


def test_parameters_come_from_a_file_and_the_environment_names_the_host(
    api, shipway, tmp_path: Path, words
) -> None:
    given = dict(word.split("=") for word in words[1::2])
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**given, "seed": 3}))
    words = ["--params", "run.yaml", "--set", "seed=4", "--run-name", "mine", "--experiment", "e"]
    variables = {
        "KF_PIPELINES_ENDPOINT": api.url,
        "KF_PIPELINES_UI_ENDPOINT": "https://kf.example/p",
    }
    result = shipway("submit", "train-and-deploy", *words, **variables)
    assert result.returncode == 0, result.stderr
    (run,) = api.stored["runs"]
    assert run["display_name"] == "mine"
    assert run["runtime_config"]["parameters"]["seed"] == 4
    assert f"https://kf.example/p/#/runs/details/{run['run_id']}" in result.stdout


def test_an_experiment_is_made_once_even_if_somebody_is_faster(api, pipelines_api, submit) -> None:
    submit()
    hidden = pipelines_api.Fault("GET", "/experiments", status=200, text="{}")
    api.faults = [hidden]
    submit()
    assert len(api.sent("POST", "/experiments")) == 2
    assert len(api.stored["experiments"]) == 1
    assert {run["experiment_id"] for run in api.stored["runs"]} == {
        api.stored["experiments"][0]["experiment_id"]
    }


def test_a_team_submits_in_its_namespace(api, shipway, words, team) -> None:
    result = shipway("submit", "train-and-deploy", "--host", api.url, *words, *team)
    assert result.returncode == 0, result.stderr
    assert api.stored["experiments"][0]["namespace"] == "team"
    token = Path(team[-1]).read_text().strip()
    assert {asked.token for asked in api.asked} == {token}
    assert token not in result.stdout + result.stderr


def test_many_users_need_a_namespace(api, shipway, words, team) -> None:
    result = shipway("submit", "train-and-deploy", "--host", api.url, *words, *team[2:])
    assert result.returncode == 1
    assert "--namespace" in result.stderr
    assert api.stored["runs"] == []


def test_one_user_is_told_that_the_namespace_is_not_used(api, shipway, words) -> None:
    result = shipway("submit", "train-and-deploy", "--host", api.url, *words, NAMESPACE="team")
    assert result.returncode == 0
    assert "'team' is not used" in result.stderr


def test_a_token_that_was_replaced_is_read_anew(api, token_file, connect, submit) -> None:
    path = token_file("old")
    api.tokens = {path.read_text().strip(): "old"}
    kubeflow = connect(token_file=path)
    token_file("new")
    api.tokens = {path.read_text().strip(): "new"}
    submit(kubeflow)
    assert len({asked.token for asked in api.asked}) == 2


def test_a_pod_finds_its_token_and_namespace(tmp_path: Path, monkeypatch) -> None:
    for name in ("token", "namespace"):
        (tmp_path / name).write_text("team\n")
        monkeypatch.setattr(f"shipway.pipelines.connection.MOUNTED_{name.upper()}", tmp_path / name)
    access = find_access("http://ml-pipeline:8888/")
    assert (access.host, access.namespace) == ("http://ml-pipeline:8888", "team")
    assert access.token_file == tmp_path / "token"
    assert find_access("http://a", "mine", tmp_path / "x").token_file == tmp_path / "x"


@pytest.mark.parametrize("status", [0, 503])
@pytest.mark.parametrize("done", [True, False])
def test_a_run_is_started_once_though_the_answer_is_lost(
    api, pipelines_api, submit, status: int, done: bool
) -> None:
    for _ in range(3):  # of the same name, on more than one page
        submit()
    api.faults = [pipelines_api.Fault("POST", "/runs", status=status, done=done)]
    run_id = submit()
    assert len(api.stored["runs"]) == 4
    assert api.stored["runs"][-1]["run_id"] == run_id
    assert len(api.sent("POST", "/runs")) == (4 if done else 5)
