"""Each kind of leak, planted by code in a clean table: found, named, and found in no clean one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.tables import write_table
from shipway.components.split.assignment import NAMES
from shipway.components.split.logic import Request, split
from shipway.components.split.time_travel import order_rule

ROWS = 3_000
Columns = dict[str, Any]
Planted = tuple[Columns, dict[str, Any]]


def clean(seed: int = 0, rows: int = ROWS, regression: bool = False) -> Columns:
    """Honest columns of every type, with missing cells, an identifier and a time out of order."""
    rng = np.random.default_rng(seed)
    age, pay, city = (
        rng.normal(44, 12, rows),
        rng.lognormal(3, 0.5, rows),
        rng.integers(0, 60, rows),
    )
    score = (age - 44) / 12 + 0.5 * np.sin(pay) + rng.normal(size=60)[city] + rng.normal(size=rows)
    seconds = 1_700_000_000 + rng.integers(0, 10_000_000, rows)
    return {
        "id": [f"C{value:07d}" for value in rng.permutation(rows * 9)[:rows]],
        "joined_at": pa.array(seconds, pa.timestamp("s")),
        "age": age.round(),
        "pay": pa.array(pay.round(2), mask=rng.random(rows) < 0.05),
        "city": [f"City {value:02d}" for value in city],
        "plan": [("Basic", "Family", "Unlimited")[value] for value in rng.integers(0, 3, rows)],
        "tickets": rng.poisson(1.0, rows),
        "late": rng.random(rows) < 0.2,
        "usage": rng.normal(100, 30, rows),
        "y": 20 * score + 100 if regression else (score > 0.7).astype(int),
    }


def judge(folder: Path, columns: Columns, **more: Any) -> Decision:
    out = folder / "out"
    write_table(pa.table(columns), folder / "source")
    paths = {name: out / name for name in NAMES}
    split(folder / "source", Request("y", **more), paths, out / "d.json", out / "p.html")
    return Decision.load(out / "d.json")


def told(decision: Decision) -> set[tuple[str, str, str]]:
    return {(r.name, r.verdict, r.slice) for r in [*decision.failures, *decision.warnings]}


def take(columns: Columns, rows: np.ndarray) -> Columns:
    return {name: pa.array(values).take(pa.array(rows)) for name, values in columns.items()}


def labels(columns: Columns) -> np.ndarray:
    return np.asarray(columns["y"])


def rows_twice() -> Planted:
    order = np.random.default_rng(1).permutation(ROWS)
    columns = take(clean(), np.tile(np.arange(ROWS // 2), 2)[order])
    del columns["id"]
    columns["when"] = np.arange(ROWS)
    return columns, {"time_column": "when"}


def copies(change: Callable[[Columns, int], Columns]) -> Planted:
    half = take(clean(), np.arange(ROWS // 2))
    others = [f"D{row:07d}" for row in range(ROWS // 2)]
    again = change(half | {"id": others}, ROWS // 2)
    return {n: pa.concat_arrays([half[n], pa.array(again[n])]) for n in half}, {}


def another_usage(columns: Columns, rows: int) -> Columns:
    return columns | {"usage": np.random.default_rng(1).normal(100, 30, rows)}


def another_way_of_writing(columns: Columns, rows: int) -> Columns:
    words = [f" {text.upper()}  " for text in columns["plan"].to_pylist()]
    usage = columns["usage"].to_numpy() * (1 + 1e-7)
    return columns | {"plan": words, "usage": usage}


def entity() -> Planted:
    rng = np.random.default_rng(1)
    patient = rng.integers(0, 500, ROWS)
    columns = clean()
    sick = rng.random(500) < 0.4
    columns["y"] = np.where(rng.random(ROWS) < 0.1, labels(columns), sick[patient]).astype(int)
    columns["patient_id"] = [f"P{value:04d}" for value in patient]
    return columns, {}


def group_column_not_used() -> Planted:
    groups = np.random.default_rng(1).integers(0, 300, ROWS)
    return clean() | {"household": groups}, {"group_column": "household", "strategy": "hash"}


def repeated_keys() -> Planted:
    orders = np.random.default_rng(1).permutation(ROWS) % (ROWS - 200)
    return clean() | {"order": orders}, {"key_columns": ["order"]}


def identifiers_again() -> Planted:
    columns = clean()
    columns["id"] = [*columns["id"][: ROWS - 100], *columns["id"][:100]]
    return columns, {}


def numbered_by_class() -> Planted:
    columns = clean()
    order = np.argsort(np.argsort(labels(columns), kind="stable"))
    return columns | {"ticket": [f"T{value:06d}" for value in order]}, {}


def bijection() -> Planted:
    columns = clean()
    return columns | {"state": ["gone" if one else "here" for one in columns["y"]]}, {}


def nearly_the_label() -> Planted:
    columns = clean()
    noise = np.random.default_rng(1).normal(size=ROWS)
    return columns | {"fee": 9.0 * labels(columns) + noise}, {}


def only_of_one_class() -> Planted:
    columns = clean()
    return columns | {
        "reason": [f"r{i % 50}" if y else None for i, y in enumerate(labels(columns))]
    }, {}


def threshold() -> Planted:
    columns = clean()
    return columns | {"y": (columns["usage"] > 110).astype(int)}, {}


def threshold_of(make: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Planted:
    columns = clean()
    rng = np.random.default_rng(3)
    due, paid = rng.uniform(10, 50, ROWS), rng.uniform(10, 50, ROWS)
    made = make(paid, due)
    return columns | {"due": due, "paid": paid, "y": (made > np.median(made)).astype(int)}, {}


def affine() -> Planted:
    columns = clean(regression=True)
    return columns | {"cents": labels(columns) * 250 + 17}, {}


def monotone() -> Planted:
    columns = clean(regression=True)
    return columns | {"power": np.exp(-labels(columns) / 40)}, {}


def made_of(make: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Planted:
    rng = np.random.default_rng(3)
    net, rate = rng.uniform(10, 500, ROWS), rng.uniform(1, 2, ROWS)
    return clean(regression=True) | {"net": net, "rate": rate, "y": make(net, rate)}, {}


def postdated() -> Planted:
    columns = clean()
    seconds = columns["joined_at"].cast(pa.int64()).to_numpy()
    later = seconds + np.random.default_rng(1).integers(60, 9_000_000, ROWS)
    return columns | {"closed_at": pa.array(later, pa.timestamp("s"))}, {"time_column": "joined_at"}


def drifting_in_order() -> Planted:
    columns = clean()
    rng = np.random.default_rng(1)
    columns["joined_at"] = pa.array(1_700_000_000 + np.arange(ROWS) * 60, pa.timestamp("s"))
    columns["y"] = (rng.random(ROWS) < np.linspace(0.1, 0.5, ROWS)).astype(int)
    return columns, {"strategy": "hash"}


def encoded(smoothing: float) -> Planted:
    columns = clean()
    y, city = labels(columns), np.array([int(text[-2:]) for text in columns["city"]])
    counts = np.bincount(city, minlength=60)
    sums = np.bincount(city, weights=y, minlength=60)
    means = (sums + smoothing * y.mean()) / np.maximum(counts + smoothing, 1)
    return columns | {"city_code": means[city]}, {}


def encoded_number() -> Planted:
    columns = clean(regression=True)
    y, city = labels(columns), np.array([int(text[-2:]) for text in columns["city"]])
    means = np.bincount(city, weights=y) / np.bincount(city)
    return columns | {"city_code": means[city]}, {}


KINDS: dict[str, tuple[Callable[[], Planted], tuple[str, str, str]]] = {
    "rows in two splits": (rows_twice, ("row_overlap", "warn", "")),
    "near rows but one column": (lambda: copies(another_usage), ("near_duplicates", "warn", "")),
    "near rows as written": (
        lambda: copies(another_way_of_writing),
        ("near_duplicates", "warn", ""),
    ),
    "an entity": (entity, ("group_overlap", "warn", "patient_id")),
    "the group column": (group_column_not_used, ("group_overlap", "warn", "household")),
    "named keys": (repeated_keys, ("key_overlap", "fail", "")),
    "keys by their look": (identifiers_again, ("key_overlap", "warn", "id")),
    "numbered by class": (numbered_by_class, ("single_column", "warn", "ticket")),
    "one to one": (bijection, ("label_twin", "fail", "state")),
    "nearly the label": (nearly_the_label, ("single_column", "fail", "fee")),
    "filled for one class": (only_of_one_class, ("single_column", "fail", "reason")),
    "a threshold": (threshold, ("single_column", "fail", "usage")),
    "threshold of a difference": (
        lambda: threshold_of(lambda a, b: a - b),
        ("column_pair", "fail", "paid or due"),
    ),
    "threshold of a ratio": (
        lambda: threshold_of(lambda a, b: a / b),
        ("column_pair", "fail", "paid or due"),
    ),
    "threshold of a product": (
        lambda: threshold_of(lambda a, b: a * b),
        ("column_pair", "fail", "paid or due"),
    ),
    "an affine function": (affine, ("label_function", "fail", "cents")),
    "a falling function": (monotone, ("label_function", "fail", "power")),
    "a sum": (lambda: made_of(lambda a, b: a + b), ("label_function", "fail", "net")),
    "a difference": (lambda: made_of(lambda a, b: b - a), ("label_function", "fail", "net")),
    "a product": (lambda: made_of(lambda a, b: a * b), ("label_function", "fail", "net")),
    "a product in cents": (
        lambda: made_of(lambda a, b: (a * b).round(2)),
        ("label_function", "fail", "net"),
    ),
    "a weighted sum": (
        lambda: made_of(lambda a, b: 3 * a - 70 * b + 5),
        ("label_function", "fail", "net"),
    ),
    "time travel": (postdated, ("time_travel", "warn", "closed_at")),
    "drift in the order of rows": (drifting_in_order, ("time_order", "warn", "joined_at")),
    "target encoded": (lambda: encoded(0), ("target_encoding", "fail", "city_code")),
    "target encoded, smoothed": (lambda: encoded(20), ("target_encoding", "fail", "city_code")),
    "target encoded numbers": (encoded_number, ("target_encoding", "fail", "city_code")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_leak_is_found_and_nothing_else(tmp_path: Path, kind: str) -> None:
    plant, (name, verdict, column) = KINDS[kind]
    columns, more = plant()
    decision = judge(tmp_path, columns, **more)
    found = told(decision)
    assert {(rule, how) for rule, how, _ in found} == {(name, verdict)}
    (rule,) = [r for r in decision.rules if (r.name, r.verdict) == (name, verdict)]
    assert rule.slice in column
    assert decision.verdict == ("fail" if verdict == "fail" else "pass")
    assert_says_what_to_do(rule)


def assert_says_what_to_do(rule: Rule) -> None:
    assert rule.n
    actions = ("exclude_columns", "group_column", "split_strategy", "Clean the writing", "Keep")
    assert any(action in rule.sentence for action in actions)


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_invented_on_a_clean_table(tmp_path: Path, seed: int, regression: bool) -> None:
    columns = clean(seed, regression=regression)
    assert told(judge(tmp_path, columns, strategy="hash")) == set()
    assert told(judge(tmp_path, columns, time_column="joined_at")) == set()


def test_splits_that_run_backwards_stop() -> None:
    times = np.arange(300.0)
    forward = np.repeat([0, 1, 2], 100)
    assert order_rule(times, forward, "t").verdict == "pass"
    rule = order_rule(times, forward[::-1], "t")
    assert (rule.verdict, rule.slice) == ("fail", "t")
    assert "100 rows of validation are not later than the last of train" in rule.sentence


def test_a_date_that_was_planned_may_be_accepted(tmp_path: Path) -> None:
    columns, more = postdated()
    late = columns["joined_at"].cast(pa.int64()).to_numpy()
    left = pa.array(late + 86_400 * (1 + 40 * labels(columns)), pa.timestamp("s"))
    found = told(judge(tmp_path, columns | {"closed_at": left}, **more))
    assert ("time_travel", "fail", "closed_at") in found
    accepted = judge(tmp_path, columns | {"closed_at": left}, accepted_leaks=["closed_at"], **more)
    assert accepted.verdict == "pass"
