"""How small a change of one column turns an answer: a search along the cuts of the trees.

Trees answer in steps, so the nearest other answer along a column lies just beyond one of the cuts
that they make in it (H. Chen, H. Zhang, D. Boning and C. Hsieh, "Robust decision trees against
adversarial examples", ICML 2019). Categories have no near and far: others are tried (`swaps.py`).
"""

from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.evaluate.cuts import (
    MAX_COLUMNS,
    MAX_CUTS,
    CutColumn,
    cut_columns,
    cuts_of,
)
from shipway.components.evaluate.swaps import MAX_CATEGORIES, categories_of, swapped, turned
from shipway.components.lib.held_out import HeldOut, rows_of
from shipway.components.lib.proportions import share
from shipway.components.lib.reports import Report
from shipway.components.lib.scoring import Prediction, Scorer

ROWS = 200
MIN_ROWS = 20
WORK = 10_000_000  # rows times trees: some tenths of a second
STEP = 0.05
MOVE = 0.5


def smallest_flips(
    scorer: Scorer,
    booster: xgb.Booster,
    known: np.ndarray,
    matrix: np.ndarray,
    held: HeldOut,
    seed: int = 0,
) -> dict[str, Any]:
    """For a sample of the rows the smallest change of one column that turns the answer.

    A change of a number keeps to the range of the training rows, and whole numbers whole; a small
    one is at most a twentieth of the range that the middle 90 % of them cover. A category is
    changed to the most frequent other ones. A value turns where it moves by more than half the
    standard deviation of all that the model says.

    Args:
        scorer: the model.
        booster: its trees.
        known: features of training rows, for the ranges.
        matrix: features of the test rows, shape (n, k).
        held: the same rows, scored.
        seed: draws the rows.

    Returns:
        A JSON object: rows, step, moved (of values: by how much at least), turned (share of
        the rows that a small change of a number turns, with its interval), swapped (that another
        category turns), columns (column, categories: how many were tried, None of a number,
        turned, and smallest: the median of the smallest changes of any size, None where none turns
        a row); empty where neither numbers nor categories decide.
    """
    trees, cuts = cuts_of(booster)
    columns = cut_columns(scorer.plan, known, cuts)
    gains = {feature: gain for feature, (gain, _) in cuts.items()}
    categories = categories_of(scorer.plan, matrix, gains, MAX_COLUMNS)
    if not (columns or categories) or len(matrix) < MIN_ROWS:
        return {}
    tries = [len(each.cuts) for each in columns] + [len(each.features) for each in categories]
    count = max(MIN_ROWS, min(ROWS, WORK // (trees * sum(tries))))
    rows = np.sort(np.random.default_rng(seed).permutation(len(matrix))[:count])
    values = held.prediction.values
    moved = None if values is None else MOVE * float(np.std(values))
    some, said = matrix[rows], rows_of(held.prediction, rows)
    changes = [_smallest(scorer, some, said, each, moved) for each in columns]
    small = [found / each.usual <= STEP for found, each in zip(changes, columns, strict=True)]
    swaps = [swapped(scorer, some, said, each, moved) for each in categories]
    told: list[dict[str, Any]] = [
        {"column": each.name, "categories": None, "turned": float(small[place].mean())}
        | {"smallest": _median(changes[place])}
        for place, each in enumerate(columns)
    ]
    told += [
        {"column": each.name, "categories": len(each.features), "turned": float(rows.mean())}
        | {"smallest": None}
        for each, rows in zip(categories, swaps, strict=True)
    ]
    return {
        "rows": len(some),
        "step": STEP,
        "moved": moved,
        "turned": _share(small),
        "swapped": _share(swaps),
        "columns": sorted(told, key=lambda one: -one["turned"]),
    }


def _share(turned: list[np.ndarray]) -> dict[str, float] | None:
    """The share of the rows that any of the columns turns; None without columns."""
    if not turned:
        return None
    found = share(int(np.any(turned, axis=0).sum()), len(turned[0]))
    return {"value": found.value, "low": found.low, "high": found.high}


def _smallest(
    scorer: Scorer, matrix: np.ndarray, said: Prediction, column: CutColumn, moved: float | None
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
    turns = turned(scorer, tried, said, moved)
    turns &= (to >= column.low) & (to <= column.high) & np.isfinite(now)
    return np.asarray(np.where(turns, np.abs(to - now), np.inf).min(axis=1))


def _median(changes: np.ndarray) -> float | None:
    known = changes[np.isfinite(changes)]
    return float(np.median(known)) if len(known) else None


def add_flips(report: Report, document: dict[str, Any]) -> None:
    """The section of the page."""
    title, found = "How small a change turns an answer?", document.get("flips")
    if document["task"] == "ranking":
        report.add_text(title, "Not applicable: a score alone is no answer that could turn.")
        return
    if not found:
        report.add_text(title, "Too few rows to search, or the trees use no number or category.")
        return
    moved, of_rows = found["moved"], f"Of {found['rows']:,} test rows "
    turns = "turns the answer" if moved is None else f"moves the value by more than {moved:.4g}"
    notes = []
    if found["turned"]:
        notes.append(
            f"{of_rows}{_said(found['turned'])} have one number of which a small change {turns}: "
            f"at most {found['step']:.0%} of the range that the middle 90% of the training rows "
            f"cover. Found at the cuts of the trees, up to {MAX_CUTS} in each of up to "
            f"{MAX_COLUMNS} columns."
        )
    if found["swapped"]:
        notes.append(
            f"{of_rows}{_said(found['swapped'])} have one category of which a change to another "
            f"{turns}. Tried are the most frequent ones, up to {MAX_CATEGORIES} in each of up to "
            f"{MAX_COLUMNS} columns; none of them is a small change."
        )
    rows = [
        [
            one["column"],
            f"{one['categories']} categories" if one["categories"] else "a small one",
            one["turned"],
            one["smallest"],
        ]
        for one in found["columns"]
    ]
    columns = ["Column", "Change", "Rows turned by it", "Median of the smallest changes"]
    report.add_table(title, columns, rows, " ".join(notes))


def _said(part: dict[str, float]) -> str:
    return f"{part['value']:.1%} ({part['low']:.1%} to {part['high']:.1%})"
