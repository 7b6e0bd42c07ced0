"""The page of a split: sizes, classes, times, and what the leakage gate found."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.decision import Decision
from shipway.components.lib.reports import Report
from shipway.components.lib.task import Target
from shipway.components.split.assignment import NAMES


@dataclass(frozen=True)
class Outcome:
    """A split.

    Attributes:
        label: the column to predict.
        target: its task.
        strategy: how the rows were split.
        parts: each row's split, shape (n,).
        labels: each row's label.
    """

    label: str
    target: Target
    strategy: str
    parts: np.ndarray
    labels: pa.ChunkedArray


def write_page(
    path: Path, outcome: Outcome, found: Decision, periods: Sequence[Sequence[object]]
) -> None:
    """Write the page.

    Args:
        path: where to.
        outcome: the split.
        found: what the leakage gate decided.
        periods: name, first and last time of each split by time.
    """
    parts = outcome.parts
    clean = f"{len(parts):,} rows, split: {outcome.strategy}. No column gives the label away."
    lead = found.failures[0].sentence if found.failures else clean
    report = Report(f"Split and leakage of '{outcome.label}'", lead, found.verdict)
    report.add_decision(found)
    sizes = np.bincount(parts, minlength=len(NAMES))
    rows = zip(NAMES, sizes.tolist(), sizes / len(parts), strict=True)
    report.add_table(
        "Sizes", ["split", "rows", "share"], [[name, size, f"{s:.1%}"] for name, size, s in rows]
    )
    if periods:
        report.add_table("Times", ["split", "first", "last"], periods)
    if outcome.target.task == "regression":
        report.add_table("The label", ["split", "mean", "least", "most"], _values(outcome))
    else:
        report.add_table("Share of each class", ["class", *NAMES], _shares(outcome, sizes))
    report.save(path)


def _shares(outcome: Outcome, sizes: np.ndarray) -> list[list[object]]:
    classes = outcome.target.classes
    codes = outcome.target.encode(outcome.labels)
    counts = [
        np.bincount(codes[outcome.parts == part], minlength=len(classes))
        for part in range(len(NAMES))
    ]
    return [
        [str(value), *(f"{counts[p][code] / max(sizes[p], 1):.2%}" for p in range(len(NAMES)))]
        for code, value in enumerate(classes)
    ]


def _values(outcome: Outcome) -> list[list[object]]:
    y = outcome.target.encode(outcome.labels).astype(np.float64)
    return [
        [name, float(y[rows].mean()), float(y[rows].min()), float(y[rows].max())]
        for name, rows in ((name, outcome.parts == part) for part, name in enumerate(NAMES))
    ]
