"""Shifts that are planted are found, and none where nothing moved."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from shipway.components.lib.errors import DataError
from tests.unit.drifting import Gate, columns, judge, moved, table

Change = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda values: values | {name: change(values[name])}


def some(values: np.ndarray, share: float, put: object) -> np.ndarray:
    """Another value in a share of the cells."""
    result = values.astype(object)
    result[: int(share * len(values))] = put
    return result


SHIFTS = {
    "mean": ("amount", changed("amount", lambda v: v + 1), "higher: mean"),
    "scale": ("amount", changed("amount", lambda v: 10 + 1.5 * (v - 10)), "wider"),
    "unit": ("amount", changed("amount", lambda v: v / 100), "below all of the baseline"),
    "nulls": ("amount", changed("amount", lambda v: some(v, 0.1, None)), "0.0% before, 10.0% now"),
    "zeros": (
        "skewed",
        changed("skewed", lambda v: some(v, 0.5, 0.0).astype(float)),
        "values 0: 59",
    ),
    "integers": ("count", changed("count", lambda v: v + 1), "higher"),
    "words": ("text_number", changed("text_number", lambda v: some(v, 0.1, "n/a")), "be read"),
    "shares": ("city", changed("city", lambda v: some(v, 0.3, "Rome")), "'Rome'"),
    "unseen": ("city", changed("city", lambda v: some(v, 0.1, "Oslo")), "'Oslo', which is new"),
    "boolean": ("open", changed("open", lambda v: ~v), "'"),
    "constant": ("constant", changed("constant", lambda v: v + 1), "above all of the baseline"),
    "filled": ("nothing", changed("nothing", lambda v: some(v, 1, "x")), "'x', which is new"),
    "emptied": ("city", changed("city", lambda v: some(v, 1, None)), "missing values"),
    "shorter": ("note (length)", changed("note", lambda v: np.array([t[:9] for t in v])), "below"),
    "explosion": (
        "shop (new values)",
        changed("shop", lambda v: np.array([f"x{i}" for i in range(len(v))], dtype=object)),
        "values that the baseline has not",
    ),
    "nights": (
        "at (hour)",
        changed("at", lambda v: np.array([t.replace(hour=t.hour // 4) for t in v])),
        "now",
    ),
    "dates": (
        "at",
        changed("at", lambda v: np.array([t - timedelta(days=30) for t in v])),
        "below all of the baseline",
    ),
}


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_planted_shift_is_found_and_its_direction_told(shift: str) -> None:
    name, change, story = SHIFTS[shift]
    decision = judge(table(columns(2_000, 1)), table(change(columns(1_500, 2))))
    assert decision.verdict == "fail"
    rule = moved(decision)[name]
    assert story in rule.sentence
    assert rule.verdict == "fail"
    alike = {name, name.split(" ")[0], "twin", "", "at (hour)", "at (weekday)"}
    assert set(moved(decision)) <= alike


def test_nothing_is_found_where_nothing_moved(gate: Gate) -> None:
    decision = gate.judge(table(columns(2_000, 1)), table(columns(1_500, 2)))
    assert moved(decision) == {}
    assert decision.verdict == "pass"
    assert "None of 12 columns moved" in gate.page
    told = {rule.slice: rule.sentence for rule in decision.rules}
    assert "numbers the rows" in told["row_id"]


def test_columns_that_no_longer_go_together_are_found(gate: Gate) -> None:
    current = columns(2_000, 2)
    current["twin"] = current["twin"][::-1]
    decision = gate.judge(table(columns(2_000, 1)), table(current))
    assert set(moved(decision)) == {""}
    (rule,) = decision.failures
    assert rule.name == "multivariate_drift"
    assert "'amount'" in rule.sentence
    assert "'twin'" in rule.sentence
    assert "together they did" in gate.page


@pytest.mark.parametrize("rows", [1, 2, 5, 20, 60])
def test_few_rows_raise_no_alarm_and_say_so(rows: int) -> None:
    decision = judge(table(columns(2_000, 1)), table(columns(rows, 2)))
    assert decision.failures == []
    assert [rule.name for rule in decision.warnings] == ["rows"]
    assert "too few rows to tell" in decision.warnings[0].sentence


def test_a_gross_change_shows_in_few_rows() -> None:
    current = columns(25, 2)
    current["amount"] = current["amount"] / 100
    decision = judge(table(columns(2_000, 1)), table(current))
    assert [rule.slice for rule in decision.failures] == ["amount"]


def test_no_rows_at_all_fail() -> None:
    base = table(columns(100, 1))
    decision = judge(base, base.slice(0, 0))
    assert [rule.name for rule in decision.failures] == ["rows"]
    with pytest.raises(DataError, match="has no rows"):
        judge(base.slice(0, 0), base)
