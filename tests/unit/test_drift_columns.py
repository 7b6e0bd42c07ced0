"""Columns that are lost, new, of another type, or have a rule or a bound of their own."""

import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.lib.errors import ConfigurationError
from tests.unit.drifting import Gate, columns, judge, moved, table


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_lost_and_new_columns_are_named() -> None:
    base = table(columns(500, 1))
    current = table(columns(500, 2)).drop_columns(["city"]).append_column("extra", [[1] * 500])
    decision = judge(base, current)
    assert {(rule.name, rule.slice) for rule in decision.failures} == {("missing_column", "city")}
    assert moved(decision)["extra"].name == "new_column"
    assert not moved(judge(base, current, ignored=["city", "extra"]))


def test_the_label_and_the_prediction_have_rules_of_their_own() -> None:
    base, current = columns(1_000, 1), columns(1_000, 2)
    current["open"] = ~current["open"]
    decision = judge(table(base), table(current), label="open", prediction="count")
    assert moved(decision)["open"].name == "label_drift"
    assert "" not in moved(decision)  # the model that tells tables apart does not see it
    named = {rule.slice: rule.name for rule in decision.rules}
    assert named["count"] == "prediction_drift"
    decision = judge(table(base), table(current).drop_columns(["open"]), label="open")
    assert decision.verdict == "pass"
    assert any("no 'open' yet" in rule.sentence for rule in decision.rules)


def test_rows_of_a_later_span_are_not_blamed_for_their_date() -> None:
    later = columns(1_500, 2)
    later["at"] = np.array([moment + timedelta(days=7 * 13 - 2) for moment in later["at"]])
    decision = judge(table(columns(2_000, 1)), table(later))
    assert moved(decision) == {}
    assert any("go on after those of the baseline" in r.sentence for r in decision.rules)


def test_a_bound_of_its_own_lets_a_column_move() -> None:
    base, current = table(columns(2_000, 1)), columns(1_500, 2)
    current["amount"] = current["amount"] + 0.8
    assert moved(judge(base, table(current)))["amount"].verdict == "fail"
    decision = judge(base, table(current), thresholds={"amount": 0.5})
    assert moved(decision)["amount"].verdict == "warn"


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        ({"thresholds": {"amuont": 0.2}}, "Did you mean 'amount'"),
        ({"thresholds": {"amount": 1.5}}, "between 0"),
        ({"thresholds": {"amount": math.nan}}, "between 0"),
        ({"false_alarm_rate": 0.0}, "above 0"),
        ({"ignored": ["citty"]}, "Did you mean 'city'"),
        ({"label": "opne"}, "Did you mean 'open'"),
    ],
)
def test_a_wrong_request_is_refused(request_of: dict, words: str) -> None:
    rows = table(columns(50, 1))
    with pytest.raises(ConfigurationError, match=words):
        judge(rows, rows, **request_of)


def test_other_types_of_the_same_values_are_the_same() -> None:
    base, current = table(columns(1_000, 1)), table(columns(1_000, 2))
    for name, kind in (
        ("count", pa.int32()),
        ("amount", pa.string()),
        ("city", pa.dictionary(pa.int32(), pa.string())),
        ("open", pa.string()),
        ("at", pa.string()),
        ("constant", pa.decimal128(5, 2)),
    ):
        place = current.column_names.index(name)
        current = current.set_column(place, name, current.column(name).cast(kind))
    assert moved(judge(base, current)) == {}


def test_columns_of_other_types_are_said_to_be_left_out() -> None:
    rows = pa.table({"x": np.arange(40.0) % 7, "list": [[1]] * 40})
    decision = judge(rows, rows)
    assert decision.verdict == "pass"
    assert any("no rule for columns of type list" in rule.sentence for rule in decision.rules)


def test_the_page_survives_hostile_names_and_values(gate: Gate) -> None:
    rng = np.random.default_rng(0)
    name = "<script>alert(1)</script>" + "x" * 500
    base = pa.table({name: rng.choice(["<b>", "שלום", "a" * 999], 500)})
    current = pa.table({name: rng.choice(["</table>", "שלום", ""], 500)})
    decision = gate.judge(base, current)
    assert decision.verdict == "fail"
    assert "<script>alert" not in gate.page
    assert "<b>" not in gate.page.split("<table>")[-1].replace('<b aria-hidden="true">', "")
    assert len(gate.page) < 1_000_000
