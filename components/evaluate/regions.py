"""Weak regions: searched on one half of the test rows, shown on the other.

A search over many regions always finds a bad one by chance. So a shallow tree proposes regions on
one half of the test rows, and only what the other half confirms, after Holm's correction for their
number, is reported as found (Y. Chung et al., "Slice Finder: Automated Data Slicing for Model
Validation", ICDE 2019, test the same difference of losses).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa

from shipway.components.evaluate.queries import subjects_of
from shipway.components.lib.columns import numbers
from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.kinds import PARSED_SHARE, is_number, is_text
from shipway.components.lib.measures import SMALLEST
from shipway.components.lib.private import PRIVATE, private_columns
from shipway.components.lib.slices import MISSING, Slice
from shipway.components.lib.tables import read_table
from shipway.components.lib.words import parse_number

MIN_ROWS = 200
MIN_LEAF_ROWS = 50
DEPTH = 3
MAX_REGIONS = 5
MAX_COLUMNS = 100
MAX_VALUES = 30
CHANCE = 0.05


@dataclass(frozen=True)
class _Axis:
    """One column of the tree's table: a number, or whether a column has a value."""

    column: str
    values: np.ndarray
    category: str | None = None
    private: bool = False

    def shown(self, value: float | str) -> str:
        """A value for the page, which shows none of a private column."""
        if self.private:
            return PRIVATE
        return value if isinstance(value, str) else f"{value:.4g}"


@dataclass(frozen=True)
class Region:
    """A confirmed weak region: its rows, as a mask over all test rows, and the evidence."""

    part: Slice
    evidence: dict[str, Any]


def row_losses(held: HeldOut) -> np.ndarray:
    """The loss of each row: log loss of a classification, absolute error of a regression."""
    if held.target.task == "regression":
        return np.asarray(np.abs(np.asarray(held.prediction.values, np.float64) - held.y))
    assert held.prediction.probabilities is not None
    known = held.y >= 0
    chosen = np.full(len(held.y), SMALLEST)
    chosen[known] = held.prediction.probabilities[known, held.y[known]]
    return np.asarray(-np.log(np.clip(chosen, 1e-6, None)))


def find_regions(test: Path, label: str, held: HeldOut, seed: int = 0) -> dict[str, Any]:
    """Propose weak regions on one half of the rows and confirm them on the other.

    Of a ranking queries take the place of rows: their columns are those that are the same in all
    rows of a query.

    Returns:
        A JSON object: proposed (how many were looked at), regions (of `Region`, the worst first).
    """
    subjects = subjects_of(held) if held.target.ranked else None
    losses = row_losses(held) if subjects is None else subjects.losses
    if len(losses) < MIN_ROWS:
        return {"proposed": 0, "regions": []}
    table = read_table(test) if subjects is None else subjects.table(read_table(test))
    axes = _axes(table, label)
    if not axes:
        return {"proposed": 0, "regions": []}
    half = np.random.default_rng(seed).random(len(losses)) < 0.5
    proposed = _propose(axes, losses, half)
    tests = [_evidence(losses, mask & ~half, ~mask & ~half) for _, mask in proposed]
    order = np.argsort([found["p"] for found in tests], kind="stable")
    regions, running = [], 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, tests[index]["p"] * (len(tests) - rank)))
        if running <= CHANCE:
            name, mask = proposed[index]
            evidence = tests[index] | {"p_adjusted": running, "rows_in_all": int(mask.sum())}
            shown = mask & ~half if subjects is None else subjects.rows(mask & ~half)
            regions.append(Region(Slice(name, shown), evidence))
    regions.sort(key=lambda region: -region.evidence["excess"])
    return {"proposed": len(proposed), "regions": regions}


def _propose(
    axes: Sequence[_Axis], losses: np.ndarray, half: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    from sklearn.tree import DecisionTreeRegressor

    table = np.column_stack([_filled(axis.values) for axis in axes])
    leaf = max(MIN_LEAF_ROWS, int(half.sum()) // 50)
    tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=leaf, random_state=0)
    # A few huge losses must not draw the cuts to themselves.
    tree.fit(table[half], np.minimum(losses[half], np.quantile(losses[half], 0.99)))
    place, inner = tree.apply(table), tree.tree_
    worst = [
        int(node)
        for node in np.argsort(-inner.value[:, 0, 0], kind="stable")
        if inner.children_left[node] < 0 and inner.value[node, 0, 0] > losses[half].mean()
    ][:MAX_REGIONS]
    paths = _paths(inner)
    return [(_words(axes, paths[node]), place == node) for node in worst]


def _paths(inner: Any) -> dict[int, list[tuple[int, float, bool]]]:
    """For each node the cuts that lead to it: axis, threshold, whether above."""
    paths: dict[int, list[tuple[int, float, bool]]] = {0: []}
    for node in range(inner.node_count):
        if inner.children_left[node] >= 0:
            cut = int(inner.feature[node]), float(inner.threshold[node])
            paths[int(inner.children_left[node])] = [*paths[node], (*cut, False)]
            paths[int(inner.children_right[node])] = [*paths[node], (*cut, True)]
    return paths


def _words(axes: Sequence[_Axis], path: Sequence[tuple[int, float, bool]]) -> str:
    """A path as a person reads it: the bounds of each number, and which values."""
    lows: dict[int, float] = {}
    highs: dict[int, float] = {}
    for index, threshold, above in path:
        ends = lows if above else highs
        choose = max if above else min
        ends[index] = choose(ends.get(index, threshold), threshold)
    said = []
    for index in dict.fromkeys(index for index, _, _ in path):
        axis, low, high = axes[index], lows.get(index), highs.get(index)
        if axis.category is not None:
            sign = "=" if low is not None else "is not"
            said.append(f"{axis.column} {sign} {axis.shown(axis.category)}")
            continue
        blank = bool(np.isnan(axis.values).any())
        lowest = _lowest(axis.values)
        low = None if low is not None and low < lowest else low
        if high is not None and high < lowest:
            said.append(f"{axis.column} is missing")
        elif low is None and high is None:
            said.append(f"{axis.column} is known")
        else:
            text = f"{axis.shown(low)} < " if low is not None else ""
            text += axis.column + (f" <= {axis.shown(high)}" if high is not None else "")
            said.append(text + (" or missing" if blank and lows.get(index) is None else ""))
    return " and ".join(said) or "all rows"


def _evidence(losses: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> dict[str, Any]:
    """Welch's one-sided test of the mean loss within against that of all other rows."""
    mine, rest = losses[inside], losses[outside]
    if min(len(mine), len(rest)) < 2:
        return {"n": len(mine), "loss": None, "loss_elsewhere": None, "excess": 0.0, "p": 1.0}
    excess = float(mine.mean() - rest.mean())
    error = math.sqrt(mine.var(ddof=1) / len(mine) + rest.var(ddof=1) / len(rest))
    z = excess / error if error > 0 else 0.0
    return {
        "n": len(mine),
        "loss": float(mine.mean()),
        "loss_elsewhere": float(rest.mean()),
        "excess": excess,
        "excess_low": excess - 1.96 * error,
        "excess_high": excess + 1.96 * error,
        "p": NormalDist().cdf(-z),
    }


def _lowest(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.min()) if len(known) else 0.0


def _filled(values: np.ndarray) -> np.ndarray:
    """What is missing stands below every number, so that one cut parts it."""
    lowest = _lowest(values)
    return np.where(np.isnan(values), lowest - 1 - abs(lowest), values)


def _axes(table: pa.Table, label: str) -> list[_Axis]:
    names = [name for name in table.column_names if name != label][:MAX_COLUMNS]
    private = private_columns(table.schema)
    return [
        replace(axis, private=name in private)
        for name in names
        for axis in _axes_of(name, table.column(name))
    ]


def _axes_of(name: str, column: pa.ChunkedArray) -> list[_Axis]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_number(column.type) or pa.types.is_boolean(column.type):
        kind = pa.int8() if pa.types.is_boolean(column.type) else column.type
        return [_Axis(name, numbers(column.cast(kind)))]
    if not is_text(column.type):
        return []
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    words = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    if len(words) > MAX_VALUES:
        parsed = np.array([math.nan if word is None else parse_number(word) for word in words])
        known = sum(1 for word in words if word and word.strip())
        fits = known and np.isfinite(parsed).sum() >= PARSED_SHARE * known
        return [_Axis(name, parsed[codes])] if fits else []
    return [
        _Axis(name, (codes == code).astype(np.float64), MISSING if word is None else word)
        for code, word in enumerate(words)
        if (codes == code).sum() >= MIN_LEAF_ROWS
    ]
