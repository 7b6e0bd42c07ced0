"""Screens of labels and rows: each finds what was planted, and nothing where nothing was."""

import html
import re
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

ROWS = 4_000


def clean(seed: int = 0, rows: int = ROWS, spread: float = 0.6) -> dict[str, Any]:
    """A label that three columns tell well, but not surely."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, rows))
    signal = a + b * c
    return {
        "t": pa.array(1_700_000_000 + rng.permutation(rows) * 60, pa.timestamp("s")),
        "a": a, "b": b, "c": c,
        "source": [f"s{value}" for value in rng.integers(0, 5, rows)],
        "y": (signal + rng.normal(size=rows) * spread > 0.2).astype(int),
    }  # fmt: skip


def rule(folder: Path, name: str, columns: dict[str, Any], **more: Any) -> Rule | None:
    out = folder / "out"
    write_table(pa.table(columns), folder / "source")
    paths = {part: out / part for part in NAMES}
    split(folder / "source", Request("y", **more), paths, out / "d.json", out / "p.html")
    rules = [one for one in Decision.load(out / "d.json").rules if one.name == name]
    return rules[0] if rules else None


def flipped(share: float, of: int | None = None) -> dict[str, Any]:
    columns, rng = clean(spread=0.05), np.random.default_rng(5)
    wrong = rng.random(ROWS) < share
    if of is not None:
        wrong &= columns["y"] == of
    return columns | {"y": np.where(wrong, 1 - columns["y"], columns["y"])}


def shifted_in_time() -> dict[str, Any]:
    columns, rng = clean(), np.random.default_rng(5)
    late = np.asarray(columns["t"].cast(pa.int64())) > 1_700_000_000 + ROWS * 40
    return columns | {"y": np.where(late & (rng.random(ROWS) < 0.6), 1, columns["y"])}


def shifted_by_source() -> dict[str, Any]:
    columns, rng = clean(), np.random.default_rng(5)
    mine = np.array(columns["source"]) == "s3"
    return columns | {"y": np.where(mine & (rng.random(ROWS) < 0.7), 0, columns["y"])}


def block_twice() -> dict[str, Any]:
    columns = clean()
    order = pa.array(np.insert(np.arange(ROWS), 3_000, np.arange(500, 620)))
    return {name: pa.array(values).take(order) for name, values in columns.items()}


def stuck() -> dict[str, Any]:
    order = pa.array(np.insert(np.arange(ROWS), 2_000, np.full(60, 2_000)))
    return {name: pa.array(values).take(order) for name, values in clean().items()}


def another_unit() -> dict[str, Any]:
    columns = clean()
    rows = np.random.default_rng(5).random(ROWS) < 0.01
    return columns | {n: np.where(rows, columns[n] * 1_000, columns[n]) for n in ("a", "b")}


def conflicting() -> dict[str, Any]:
    columns = {name: pa.array(values).slice(0, 2_000) for name, values in clean().items()}
    other = columns | {"y": pa.array(1 - np.asarray(columns["y"]))}
    return {name: pa.concat_arrays([columns[name], other[name]]) for name in columns}


def rare() -> dict[str, Any]:
    return clean() | {"y": (np.random.default_rng(5).random(ROWS) < 0.006).astype(int)}


def mostly_nought() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    return clean() | {"y": np.where(rng.random(ROWS) < 0.7, 0.0, rng.lognormal(2, 1, ROWS))}


FOUND: dict[str, tuple[Callable[[], dict[str, Any]], str, str]] = {
    "wrong labels": (lambda: flipped(0.08), "label_noise", "of the labels look wrong"),
    "many wrong labels": (lambda: flipped(0.2), "label_noise", "of the labels look wrong"),
    "wrong labels of a class": (lambda: flipped(0.15, 1), "label_noise", "labels look wrong"),
    "a shift in time": (shifted_in_time, "label_shift", "by 't'"),
    "a source of its own": (shifted_by_source, "label_shift", "source='s3'"),
    "a block twice": (block_twice, "duplicated_blocks", "rows 3,000 to 3,119"),
    "a source that is stuck": (stuck, "duplicated_blocks", "60 rows in 1 blocks"),
    "another unit": (another_unit, "outlier_rows", "unlike all others"),
    "conflicting rows": (conflicting, "conflicting_rows", "2,000 rows are equal"),
    "a rare class": (rare, "imbalance", "Class '1' has 0."),
    "mostly one value": (mostly_nought, "imbalance", "most common value, 0"),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_was_planted_is_told(tmp_path: Path, case: str) -> None:
    make, name, expected = FOUND[case]
    found = rule(tmp_path, name, make(), strategy="hash")
    assert found
    assert found.verdict == "warn"
    assert expected in found.sentence
    assert found.n


@pytest.mark.parametrize("spread", [0.05, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(2))
def test_honest_labels_are_not_doubted(tmp_path: Path, seed: int, spread: float) -> None:
    """Whether they are told surely, well, or badly by the columns."""
    split_of = {"strategy": "hash"} if seed else {"time_column": "t"}
    found = rule(tmp_path, "label_noise", clean(seed, spread=spread), **split_of)
    assert found
    assert found.verdict == "pass"
    warnings = Decision.load(tmp_path / "out" / "d.json").warnings
    assert [one.name for one in warnings] == []


def test_suspects_are_mostly_the_rows_that_were_flipped(tmp_path: Path) -> None:
    truth, columns = clean(spread=0.05)["y"], flipped(0.08)
    assert rule(tmp_path, "label_noise", columns, strategy="hash")
    page = html.unescape((tmp_path / "out" / "p.html").read_text())
    table = page.rsplit("The surest suspects", 1)[1].split("</table>")[0]
    rows = [int(found.replace(",", "")) for found in re.findall(r"<tr><td[^>]*>([\d,]+)", table)]
    assert len(rows) == 20
    assert sum(truth[row] != columns["y"][row] for row in rows) >= 18


def test_wrong_labels_are_told_beside_a_leak(tmp_path: Path) -> None:
    columns = flipped(0.08)
    found = rule(tmp_path, "label_noise", columns | {"fee": columns["y"] * 9.0}, strategy="hash")
    assert found
    assert found.verdict == "warn"
    page = html.unescape(re.sub("<[^>]*>", "", (tmp_path / "out" / "p.html").read_text()))
    assert "1 finding stops the run: 'fee'." in page
    assert found.sentence in page.partition("Worth a look")[2]


def test_a_repeat_in_a_table_of_few_values_is_no_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {"a": np.sort(rng.integers(0, 3, 3_000)), "b": rng.integers(0, 2, 3_000)}
    found = rule(tmp_path, "duplicated_blocks", rows | {"y": rng.integers(0, 2, 3_000)})
    assert found
    assert found.verdict == "pass"
