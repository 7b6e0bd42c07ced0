"""A search log through the whole pipeline: ranked by query, behind an endpoint that answers."""

import json
import urllib.request
from pathlib import Path

import pyarrow.compute
import pyarrow.csv
import pytest

from tests.searches import searches


@pytest.mark.slow
def test_a_search_log_ends_as_an_endpoint_that_ranks(shell, tmp_path: Path, free_port: int) -> None:
    table = searches(240)
    pyarrow.csv.write_csv(table, tmp_path / "searches.csv")
    run = shell.run(
        data_uri=str(tmp_path / "searches.csv"),
        label="grade",
        task="ranking",
        group_column="search",
        model_name="search",
        endpoint_port=free_port,
        slice_columns=["intent"],
        training_parameters={"max_bin": 64, "num_boost_round": 60, "eta": 0.3},
    )
    assert [step.name for step in run.failed + run.stopped_by] == []
    probe = json.loads(run.artifact("probe-endpoint", "decision").read_text())
    assert probe["verdict"] == "pass"
    assert any("parity" in rule["name"] and rule["verdict"] == "pass" for rule in probe["rules"])
    found = json.loads(run.artifact("evaluate-model", "evaluation").read_text())
    assert all(gains["ndcg@10"]["low"] > 0.05 for gains in found["gains"].values())
    card = json.loads(run.artifact("write-model-card", "card").read_text())
    assert card["model"]["task"] == "ranking"
    assert any("orders rows of one query ('search')" in line for line in card["limits"])

    rows = table.filter(pyarrow.compute.equal(table["search"], "s7"))
    body = {"instances": rows.drop_columns(["search", "grade"]).to_pylist()}
    request = urllib.request.Request(
        f"{run.endpoint}/v1/models/search:predict",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        scores = [answer["value"] for answer in json.load(response)["predictions"]]
    grades = rows["grade"].to_pylist()
    first = max(range(len(scores)), key=scores.__getitem__)
    assert grades[first] == max(grades)
