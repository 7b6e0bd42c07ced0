"""Payload logs in the place of tables."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.lib import payload_log
from shipway.components.lib.tables import write_table
from shipway.components.monitor.logic import Request
from shipway.components.monitor.source import predictions, request_rows
from tests.unit.drifting import Gate, columns, table


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def logged(rows: list[dict], answers: list[dict], folder: Path, **more: bytes) -> None:
    bodies = [
        (payload_log.REQUEST, json.dumps({"instances": rows}).encode()),
        (payload_log.RESPONSE, json.dumps({"predictions": answers}).encode()),
        *((payload_log.REQUEST, body) for body in more.values()),
    ]
    events = {name: [None] * len(bodies) for name in payload_log.SCHEMA.names}
    events |= {"id": ["1", "1", *more], "type": [k for k, _ in bodies]}
    events["data"] = [body for _, body in bodies]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(events, payload_log.SCHEMA), folder / "2024.parquet")


def test_a_payload_log_is_compared_with_training_rows(gate: Gate) -> None:
    names = ["amount", "city", "at"]
    base = table(columns(1_000, 1)).select(names)
    write_table(base, gate.folder / "base")
    rows = table(columns(400, 2)).select(names).to_pylist()
    sent = [row | {"at": row["at"].isoformat(), "amount": row["amount"] + 2} for row in rows]
    logged(sent, [{"label": "yes"}] * 400, gate.folder / "current" / "day", broken=b"\x00\x01")
    decision = gate.run(Request())
    assert {rule.slice for rule in decision.failures} == {"amount", ""}
    (warning,) = [rule for rule in decision.warnings if rule.name == "payload_log"]
    assert "1 of 2 logged requests" in warning.sentence


def test_predictions_of_two_logs_are_compared(gate: Gate) -> None:
    rng = np.random.default_rng(0)
    for name, share in (("base", 0.2), ("current", 0.6)):
        rows = [{"x": float(x)} for x in rng.normal(size=800)]
        answers = [{"label": "yes" if u < share else "no"} for u in rng.random(800)]
        logged(rows, answers, gate.folder / name)
    decision = gate.run(Request())
    (rule,) = decision.failures
    assert (rule.name, rule.slice) == ("prediction_drift", "prediction")


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"instances": [{"a": 1}, {"a": 2, "b": "x"}]}, [{"a": 1}, {"a": 2, "b": "x"}]),
        ({"inputs": {"a": [1, 2], "b": ["x", "y"]}}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ({"inputs": [{"name": "a", "data": [1, 2]}]}, [{"a": 1}, {"a": 2}]),
        ({"inputs": [{"name": "a", "data": [[1], [2]]}]}, [{"a": 1}, {"a": 2}]),
        ({"inputs": [{"name": "a", "data": [1, 2]}, {"name": "b", "data": [1]}]}, None),
        ({"instances": [[1, 2]]}, None),
        ({"other": 1}, None),
        ([1], None),
    ],
)
def test_rows_of_requests(body: object, rows: list[dict] | None) -> None:
    assert request_rows(json.dumps(body).encode()) == rows


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ({"predictions": [{"label": "a", "probabilities": {}}, {"label": "b"}]}, ["a", "b"]),
        ({"predictions": [{"value": 1.5}]}, [1.5]),
        ({"predictions": [1, 0]}, [1, 0]),
        ({"outputs": [{"name": "label", "data": ["a"]}, {"name": "x", "data": [1]}]}, ["a"]),
        ({"predictions": [[0.1, 0.9]]}, []),
        ({}, []),
    ],
)
def test_predictions_of_answers(body: object, made: list[object]) -> None:
    assert predictions(json.dumps(body).encode()) == made
