"""Two histograms side by side: bins with names, and the shares before and after."""

import datetime
from dataclasses import dataclass

import numpy as np

from shipway.components.lib.cells import clipped, number_text
from shipway.components.lib.drift.columns import View
from shipway.components.lib.drift.histograms import CategoryHistogram, Histogram, NumberHistogram

TOP = 30
MISSING = "missing"
UNREADABLE = "unreadable"
OTHER = "all other values"
NEW = "new values"
KNOWN = "known values"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MAX_NAME = 60


@dataclass(frozen=True)
class Bins:
    """Counts of two tables in the same bins; bins that are empty in both are left out.

    Attributes:
        names: of the bins.
        base: rows of the baseline, shape (bins,).
        current: rows of the current table, shape (bins,).
    """

    names: list[str]
    base: np.ndarray
    current: np.ndarray


@dataclass(frozen=True)
class NewValues:
    """Rows with values that the baseline has not.

    Attributes:
        counts: rows of both tables by value, shape (values,).
        rows: of the current table with a new value.
        example: the most frequent new value.
    """

    counts: np.ndarray
    rows: int
    example: str

    def bins(self, usual: float, base: int, current: int) -> Bins:
        """The share of new values, against that which chance alone would show."""
        expected = base * min(1.0, usual / current)
        return Bins(
            [KNOWN, NEW],
            np.array([base - expected, expected]),
            np.array([current - self.rows, self.rows], dtype=float),
        )


def bins_of(view: View, base: Histogram, current: Histogram) -> Bins:
    """The bins of two histograms of one view."""
    if isinstance(base, NumberHistogram):
        assert isinstance(current, NumberHistogram)
        names = [*_number_names(view, base.edges), UNREADABLE, MISSING]
        counts = [[*one.counts, one.unreadable, one.missing] for one in (base, current)]
    else:
        assert isinstance(current, CategoryHistogram)
        top = common_values(base, current)
        names = [*(clipped(name, MAX_NAME) for name in top), OTHER, MISSING]
        counts = [_category_counts(one, top) for one in (base, current)]
    both = np.array(counts, dtype=np.int64)
    filled = both.sum(axis=0) > 0
    kept = [name for name, is_filled in zip(names, filled, strict=True) if is_filled]
    return Bins(kept, both[0, filled], both[1, filled])


def common_values(base: CategoryHistogram, current: CategoryHistogram) -> list[str]:
    """The 30 most frequent values of both tables together.

    Those of the baseline alone would be too frequent there by the very choice, and seem to fall.
    """
    pooled = base.counts + current.counts
    return sorted(pooled, key=lambda name: (-pooled[name], name))[:TOP]


def _category_counts(one: CategoryHistogram, top: list[str]) -> list[int]:
    counts = [one.counts.get(name, 0) for name in top]
    return [*counts, one.rows - one.missing - sum(counts), one.missing]


def new_values_of(base: Histogram, current: Histogram) -> NewValues | None:
    """New values of a category with many; None where the bins tell of them, or none can."""
    if not isinstance(base, CategoryHistogram) or not isinstance(current, CategoryHistogram):
        return None
    if base.uncounted or len(base.counts + current.counts) <= TOP or not base.counts:
        return None
    new = {name: count for name, count in current.counts.items() if name not in base.counts}
    rows = sum(new.values()) + current.uncounted
    counts = [*(base.counts + current.counts).values(), *([1] * current.uncounted)]
    example = max(new, key=lambda name: (new[name], name)) if new else ""
    return NewValues(np.array(counts), rows, clipped(example, MAX_NAME))


def _number_names(view: View, edges: list[float]) -> list[str]:
    if not edges:
        return ["any value"]
    said = [value_text(view, edge) for edge in edges]
    names = [f"below {said[0]}"]
    for index in range(1, len(edges)):
        alone = np.nextafter(edges[index], -np.inf) <= edges[index - 1]
        names.append(said[index] if alone else f"{said[index - 1]} to {said[index]}")
    return [*names, f"above {said[-1]}"]


def value_text(view: View, value: float) -> str:
    """A value of a view as a person reads it."""
    if view.kind == "weekday" and 0 <= round(value) <= 6:
        return WEEKDAYS[round(value)]
    if view.kind == "date":
        try:
            moment = datetime.datetime.fromtimestamp(value, datetime.UTC)
            return moment.strftime("%Y-%m-%d %H:%M")
        except (OverflowError, ValueError, OSError):
            return number_text(value)
    return number_text(value)
