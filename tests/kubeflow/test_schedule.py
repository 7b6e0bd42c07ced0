"""`shipway schedule`: runs that start by the clock."""

import json
from types import SimpleNamespace

import kfp_server_api
import pytest

SCHEDULE = ("schedule", "train-and-deploy", "--host")
DAILY = ("--cron", "0 0 4 * * *")


def test_a_schedule_holds_the_whole_run(api, shipway, words) -> None:
    more = ["--name", "nightly", "--max-concurrency", "2", "--no-catchup", "--no-cache"]
    result = shipway(*SCHEDULE, api.url, *words, *DAILY, *more, "--service-account", "builder")
    assert result.returncode == 0, result.stderr
    (made,) = api.stored["recurringruns"]
    assert f"{api.url}/#/recurringrun/details/{made['recurring_run_id']}" in result.stdout
    assert made["display_name"] == "nightly"
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 4 * * *"}}
    assert (made["mode"], made["no_catchup"]) == ("ENABLE", True)
    assert int(made["max_concurrency"]) == 2
    assert made["service_account"] == "builder"
    assert made["runtime_config"]["parameters"]["label"] == "y"
    root = made["pipeline_spec"]["pipeline_spec"]["root"]
    assert {str(task["cachingOptions"]) for task in root["dag"]["tasks"].values()} == {"{}"}
    (asked,) = api.sent("POST", "/recurringruns")
    client = kfp_server_api.ApiClient()
    answer = SimpleNamespace(data=json.dumps(asked.body))
    model = client.deserialize(answer, "V2beta1RecurringRun")
    assert client.sanitize_for_serialization(model) == asked.body


def test_missed_runs_are_made_up_for_only_on_demand(api, shipway, words) -> None:
    for name, more in (("a", []), ("b", ["--catchup"])):
        result = shipway(*SCHEDULE, api.url, *words, *DAILY, "--name", name, *more)
        assert result.returncode == 0, result.stderr
    assert [one["no_catchup"] for one in api.stored["recurringruns"]] == [True, False]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 4 * * *", "--cron '0 0 4 * * *'"),
        ("0 4", "must have six fields: second, minute"),
        ("", "must have six fields"),
    ],
)
def test_other_than_six_fields_are_refused(api, shipway, words, cron: str, expected: str) -> None:
    result = shipway(*SCHEDULE, api.url, *words, "--cron", cron)
    assert result.returncode == 1
    assert expected in result.stderr
    assert api.asked == []


@pytest.mark.parametrize("cron", ["@daily", " 0  0 4 * * 1-5 "])
def test_other_forms_of_the_server_pass(api, shipway, words, cron: str) -> None:
    result = shipway(*SCHEDULE, api.url, *words, "--cron", cron)
    assert result.returncode == 0, result.stderr
    sent = api.stored["recurringruns"][0]["trigger"]["cron_schedule"]["cron"]
    assert sent == " ".join(cron.split())


def test_a_wrong_parameter_is_refused_before_anything_is_sent(api, shipway, words) -> None:
    result = shipway(*SCHEDULE, api.url, *words, *DAILY, "--set", "lable=y")
    assert result.returncode == 1
    assert "Did you mean 'label'" in result.stderr
    assert api.asked == []


def test_a_schedule_of_that_name_is_not_doubled(api, shipway, words) -> None:
    assert shipway(*SCHEDULE, api.url, *words, *DAILY).returncode == 0
    result = shipway(*SCHEDULE, api.url, *words, *DAILY)
    assert result.returncode == 1
    (made,) = api.stored["recurringruns"]
    assert f"#/recurringrun/details/{made['recurring_run_id']}" in result.stderr
    assert "--name" in result.stderr


def test_a_schedule_is_made_once_though_the_answer_is_lost(
    api, pipelines_api, shipway, words
) -> None:
    api.faults = [pipelines_api.Fault("POST", "/recurringruns", 0, done=True)]
    result = shipway(*SCHEDULE, api.url, *words, *DAILY)
    assert result.returncode == 0, result.stderr
    assert len(api.stored["recurringruns"]) == 1
