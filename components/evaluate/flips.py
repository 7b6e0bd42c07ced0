"""How small a change of one number turns an answer: a search along the cuts of the trees.

Trees answer in steps, so the nearest other answer along a column lies just beyond one of the cuts
that they make in it (H. Chen, H. Zhang, D. Boning and C. Hsieh, "Robust decision trees against
adversarial examples", ICML 2019).
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.contributions import column_starts
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.held_out import HeldOut, rows_of
from shipway.components.lib.proportions import share
from shipway.components.lib.reports import Report
from shipway.components.lib.scoring import Prediction, Scorer

ROWS = 200
MIN_ROWS = 20
MAX_COLUMNS = 12
MAX_CUTS = 64
WORK = 10_000_000  # rows times trees: some tenths of a second
STEP = 0.05
MOVE = 0.5
NUMBERS = ("number", "text_number")


@dataclass(frozen=True)
class _Column:
    """A number that the trees cut: its feature, where they do, and what training rows held."""

    name: str
    feature: int
    cuts: np.ndarray
    low: float
    high: float
    usual: float
    whole: bool


def smallest_flips(
    scorer: Scorer,
    booster: xgb.Booster,
    known: np.ndarray,
    matrix: np.ndarray,
    held: HeldOut,
    seed: int = 0,
) -> dict[str, Any]:
    """For a sample of the rows the smallest change of one column that turns the answer.

    A change keeps to the range of the training rows, and whole numbers whole; a small one is at
    most a twentieth of the range that the middle 90 % of them cover. A value turns where it moves
    by more than half the standard deviation of all that the model says.

    Args:
        scorer: the model.
        booster: its trees.
        known: features of training rows, for the ranges.
        matrix: features of the test rows, shape (n, k).
        held: the same rows, scored.
        seed: draws the rows.

    Returns:
        A JSON object: rows, step, moved (of values: by how much at least), turned (share of
        the rows that a small change turns, with its interval), columns (column, turned, and
        smallest: the median of the smallest changes of any size, None where none turns a row);
        empty where no number decides.
    """
    trees, cuts = _cuts(booster)
    columns = _columns(scorer.plan, known, cuts)
    if not columns or len(matrix) < MIN_ROWS:
        return {}
    cost = trees * sum(len(column.cuts) for column in columns)
    count = max(MIN_ROWS, min(ROWS, WORK // cost))
    rows = np.sort(np.random.default_rng(seed).permutation(len(matrix))[:count])
    values = held.prediction.values
    moved = None if values is None else MOVE * float(np.std(values))
    said = rows_of(held.prediction, rows)
    changes = [_smallest(scorer, matrix[rows], said, column, moved) for column in columns]
    steps = np.array([found / each.usual for found, each in zip(changes, columns, strict=True)])
    small = steps <= STEP
    whole = share(int(small.any(axis=0).sum()), len(rows))
    told = [
        {
            "column": column.name,
            "turned": float(small[place].mean()),
            "smallest": _median(changes[place]),
        }
        for place, column in enumerate(columns)
    ]
    return {
        "rows": len(rows),
        "step": STEP,
        "moved": moved,
        "turned": {"value": whole.value, "low": whole.low, "high": whole.high},
        "columns": sorted(told, key=lambda one: -float(str(one["turned"]))),
    }


def _smallest(
    scorer: Scorer, matrix: np.ndarray, said: Prediction, column: _Column, moved: float | None
) -> np.ndarray:
    """The smallest change of a column that turns each row; infinite where none does."""
    now = matrix[:, column.feature].astype(np.float64)[:, None]
    # A row goes right from its cut on, so what is left of it lies just below.
    above, below = column.cuts, np.nextafter(column.cuts, np.float32(-np.inf))
    if column.whole:
        above, below = np.ceil(column.cuts), np.ceil(column.cuts) - 1
    to = np.where(column.cuts > now, above, below)
    tried = np.repeat(matrix, to.shape[1], axis=0)
    tried[:, column.feature] = to.ravel()
    found = scorer.score_matrix(scorer.plan.refreshed(tried))
    if moved is None:
        assert found.labels is not None
        assert said.labels is not None
        turned = found.labels.reshape(to.shape) != said.labels[:, None]
    else:
        assert found.values is not None
        assert said.values is not None
        turned = np.abs(found.values.reshape(to.shape) - said.values[:, None]) > moved
    turned &= (to >= column.low) & (to <= column.high) & np.isfinite(now)
    return np.asarray(np.where(turned, np.abs(to - now), np.inf).min(axis=1))


def _columns(
    plan: FeaturePlan, known: np.ndarray, cuts: dict[int, tuple[float, np.ndarray]]
) -> list[_Column]:
    """The numbers that bring the trees the most, with at most 64 of their cuts."""
    found = []
    for start, column in zip(column_starts(plan), plan.columns, strict=True):
        values = known[:, start].astype(np.float64)
        values = values[np.isfinite(values)]
        if column.kind not in NUMBERS or int(start) not in cuts or not len(values):
            continue
        gain, all_cuts = cuts[int(start)]
        kept = np.linspace(0, len(all_cuts) - 1, min(len(all_cuts), MAX_CUTS)).round().astype(int)
        low, high = values.min(), values.max()
        ends = np.quantile(values, [0.05, 0.95])
        usual = float(ends[1] - ends[0]) or float(high - low)
        whole = bool(np.all(values == np.round(values)))
        if usual > 0:
            one = _Column(column.name, int(start), all_cuts[kept], low, high, usual, whole)
            found.append((gain, one))
    found.sort(key=lambda pair: -pair[0])
    return [one for _, one in found[:MAX_COLUMNS]]


def _cuts(booster: xgb.Booster) -> tuple[int, dict[int, tuple[float, np.ndarray]]]:
    """How many trees there are, and of each feature its gain and where it is cut."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    trees = learner["gradient_booster"].get("model", {}).get("trees", [])
    parts = [
        [np.asarray(tree[name]) for tree in trees]
        for name in ("left_children", "split_indices", "split_conditions", "loss_changes")
    ]
    if not trees:
        return 0, {}
    left, feature, cut, gain = (np.concatenate(part) for part in parts)
    inner = left >= 0
    return len(trees), {
        int(one): (
            float(gain[inner & (feature == one)].sum()),
            np.unique(cut[inner & (feature == one)].astype(np.float32)),
        )
        for one in np.unique(feature[inner])
    }


def _median(changes: np.ndarray) -> float | None:
    known = changes[np.isfinite(changes)]
    return float(np.median(known)) if len(known) else None


def add_flips(report: Report, document: dict[str, Any]) -> None:
    """The section of the page."""
    found = document.get("flips")
    if not found:
        return
    rows = [[one["column"], one["turned"], one["smallest"]] for one in found["columns"]]
    ends, moved = found["turned"], found["moved"]
    turns = "turns the answer" if moved is None else f"moves the value by more than {moved:.4g}"
    note = (
        f"Of {found['rows']:,} test rows {ends['value']:.1%} ({ends['low']:.1%} to "
        f"{ends['high']:.1%}) have one number of which a small change {turns}: at most "
        f"{found['step']:.0%} of the range that the middle 90% of the training rows cover. Found "
        f"at the cuts of the trees, up to {MAX_CUTS} in each of up to {MAX_COLUMNS} columns."
    )
    columns = ["Column", "Rows turned by a small change", "Median of the smallest changes"]
    report.add_table("How small a change turns an answer?", columns, rows, note)
