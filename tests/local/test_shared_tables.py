"""The five real tables, each by one run with default parameters."""

import json
import urllib.request
from pathlib import Path

import pyarrow.csv
import pytest

from shipway.pipelines.run import Run


def settings(table: Path, label: str, port: int, **more: object) -> dict[str, object]:
    return {
        "data_uri": str(table),
        "label": label,
        "model_name": label.replace("_", "-").lower(),
        "endpoint_port": port,
        **more,
    }


def assert_live(run: Run, task: str) -> dict[str, float]:
    """The run ended with an endpoint in parity; returns the test metrics."""
    assert [step.name for step in run.failed + run.stopped_by] == []
    assert run.endpoint
    probe = json.loads(run.artifact("probe-endpoint", "decision").read_text())
    assert probe["verdict"] == "pass"
    parity = [rule for rule in probe["rules"] if "parity" in rule["name"]]
    assert parity
    assert all(rule["verdict"] == "pass" for rule in parity)
    evaluation = json.loads(run.artifact("evaluate-model", "evaluation").read_text())
    assert evaluation["task"] == task
    return {name: metric["value"] for name, metric in evaluation["metrics"].items()}


def predict(run: Run, row: dict[str, object]) -> dict[str, object]:
    request = urllib.request.Request(
        f"{run.endpoint}/v1/models/{run.arguments['model_name']}:predict",
        json.dumps({"instances": [row]}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["predictions"][0]


@pytest.mark.slow
def test_chicago_taxi(shell, shared_data: Path, free_port: int) -> None:
    table = shared_data / "chicago-taxi" / "chicago_taxi.csv"
    run = shell.run(**settings(table, "big_tipper", free_port, exclude_columns="tips"))
    assert assert_live(run, "binary")["auc"] >= 0.950


@pytest.mark.slow
def test_telco_churn(shell, shared_data: Path, free_port: int) -> None:
    table = shared_data / "telco-churn" / "telco_churn.csv"
    run = shell.run(**settings(table, "Churn", free_port))
    assert assert_live(run, "binary")["auc"] >= 0.82
    signature = json.loads((run.artifact("train-model", "model") / "signature.json").read_text())
    kinds = {feature["name"]: feature["dtype"] for feature in signature["features"]}
    assert kinds["TotalCharges"] == "number"  # a blank stands in 11 of its cells
    assert "customerID" in signature["ignored"]
    raw = pyarrow.csv.read_csv(table).slice(0, 1).to_pylist()[0]
    answer = predict(run, {name: raw[name] for name in kinds} | {"TotalCharges": 29.85})
    assert set(answer["probabilities"]) == {"No", "Yes"}


@pytest.mark.slow
def test_penguins(shell, shared_data: Path, free_port: int) -> None:
    table = shared_data / "penguins" / "penguins.csv"
    run = shell.run(**settings(table, "species", free_port))
    metrics = assert_live(run, "multiclass")
    assert metrics["accuracy"] >= 0.9


@pytest.mark.slow
def test_diamonds(shell, shared_data: Path, free_port: int) -> None:
    table = shared_data / "diamonds" / "diamonds.csv"
    run = shell.run(**settings(table, "price", free_port))
    assert assert_live(run, "regression")["rmse"] <= 545


@pytest.mark.slow
def test_nyc_flights(shell, shared_data: Path, free_port: int) -> None:
    table = shared_data / "nyc-flights" / "flights.parquet"
    after_departure = ["dep_time", "dep_delay", "arr_time", "air_time", "arr_delay"]
    run = shell.run(
        **settings(
            table,
            "late",
            free_port,
            exclude_columns=after_departure,
            split_strategy="time",
            time_column="time_hour",
        )
    )
    assert assert_live(run, "binary")["auc"] >= 0.6


def test_a_leak_stops_the_run_before_training(shell, shared_data: Path, free_port: int) -> None:
    table = shared_data / "chicago-taxi" / "chicago_taxi.csv"
    run = shell.run(**settings(table, "big_tipper", free_port))
    assert [step.name for step in run.stopped_by] == ["split-table"]
    assert not run.endpoint
    states = {step.name: step.state for step in run.steps}
    assert states["fit-features"] == states["train-model"] == "skipped"
    assert "'tips'" in shell.screen
    assert "exclude_columns" in shell.screen
