"""Histograms of a column, as small as a page of text: mergeable over batches, files and machines.

The edges of a number's bins are quantiles of the baseline, so that each bin holds about as many of
its rows. Values below and above all of the baseline have bins of their own, and so have missing
values and those that cannot be read. A category counts its values.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.drift.columns import View, view_numbers, view_texts

BINS = 20
OWN_BINS = 24
ROWS_PER_BIN = 5
KEPT_VALUES = 10_000


@dataclass
class NumberHistogram:
    """Counts of numbers between edges; bin i holds edges[i - 1] < x <= edges[i].

    Attributes:
        edges: ascending, k of them.
        counts: rows in the k + 1 bins; the first is below the baseline, the last above.
        missing: rows without a value.
        unreadable: rows whose value is no number, or no date.
        low: the least value, None before the first.
        high: the greatest value.
        mean: of the values.
        square: sum of squared deviations from the mean.
    """

    edges: list[float]
    counts: list[int] = field(default_factory=list)
    missing: int = 0
    unreadable: int = 0
    low: float | None = None
    high: float | None = None
    mean: float = 0.0
    square: float = 0.0

    def __post_init__(self) -> None:
        """Begin with empty bins."""
        self.counts = self.counts or [0] * (len(self.edges) + 1)

    @property
    def values(self) -> int:
        """Rows with a value."""
        return sum(self.counts)

    @property
    def rows(self) -> int:
        """All rows."""
        return self.values + self.missing + self.unreadable

    @property
    def deviation(self) -> float:
        """The standard deviation of the values."""
        return math.sqrt(self.square / self.values) if self.values else 0.0

    def emptied(self) -> "NumberHistogram":
        """The same bins with nothing in them."""
        return NumberHistogram(list(self.edges))

    def add(self, view: View, column: pa.ChunkedArray) -> None:
        """Count the rows of a column."""
        array = view_numbers(view, column)
        known = array[~np.isnan(array)]
        binned = np.searchsorted(self.edges, known, side="left")
        counts = np.bincount(binned, minlength=len(self.edges) + 1).tolist()
        other = NumberHistogram(self.edges, counts, column.null_count)
        other.unreadable = len(array) - len(known) - column.null_count
        if len(known):
            other.low, other.high = float(known.min()), float(known.max())
            other.mean = float(known.mean())
            other.square = float(((known - other.mean) ** 2).sum())
        self.merge(other)

    def merge(self, other: "NumberHistogram") -> None:
        """Take over the counts of a histogram with the same bins.

        Moments as in T. F. Chan, G. H. Golub and R. J. LeVeque, Updating Formulae, 1979.
        """
        mine, theirs = self.values, other.values
        if theirs:
            apart = other.mean - self.mean
            self.mean += apart * theirs / (mine + theirs)
            self.square += other.square + apart**2 * mine * theirs / (mine + theirs)
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.missing += other.missing
        self.unreadable += other.unreadable
        self.low = _of(min, self.low, other.low)
        self.high = _of(max, self.high, other.high)


@dataclass
class CategoryHistogram:
    """Counts of texts.

    Attributes:
        counts: rows by value.
        missing: rows without a value.
        uncounted: rows with a value that came after 10,000 others.
    """

    counts: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    uncounted: int = 0

    @property
    def rows(self) -> int:
        """All rows."""
        return self.counts.total() + self.missing + self.uncounted

    def emptied(self) -> "CategoryHistogram":
        """One with nothing in it."""
        return CategoryHistogram()

    def add(self, view: View, column: pa.ChunkedArray) -> None:
        """Count the rows of a column."""
        if column.null_count < len(column):
            counted = pc.value_counts(view_texts(column))
            names, counts = counted.field("values"), counted.field("counts")
            pairs = zip(names.to_pylist(), counts.to_pylist(), strict=True)
            self._take({name: count for name, count in pairs if name is not None})
        self.missing += column.null_count

    def merge(self, other: "CategoryHistogram") -> None:
        """Take over the counts of another."""
        self._take(other.counts)
        self.missing += other.missing
        self.uncounted += other.uncounted

    def _take(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            if name in self.counts or len(self.counts) < KEPT_VALUES:
                self.counts[name] += count
            else:
                self.uncounted += count


Histogram = NumberHistogram | CategoryHistogram


def histogram_for(view: View, sample: pa.ChunkedArray) -> Histogram:
    """An empty histogram whose bins suit a sample of the baseline."""
    if view.kind == "category":
        return CategoryHistogram()
    array = view_numbers(view, sample)
    return NumberHistogram(_edges(array[~np.isnan(array)]))


def _edges(values: np.ndarray) -> list[float]:
    """Quantiles; a value that many rows share, and each of a few values, has a bin of its own."""
    if not len(values):
        return []
    distinct = np.unique(values)
    if len(distinct) <= OWN_BINS:
        return [float(e) for e in np.unique([np.nextafter(distinct, -math.inf), distinct])]
    bins = int(np.clip(len(values) // ROWS_PER_BIN, 2, BINS))
    cuts = np.quantile(values, np.linspace(0, 1, bins + 1), method="inverted_cdf")
    cuts[0] = distinct[0]
    shared = np.append(cuts[1:][cuts[1:] == cuts[:-1]], distinct[0])
    return [float(e) for e in np.unique(np.append(cuts, np.nextafter(shared, -math.inf)))]


def _of(choose: Any, mine: float | None, theirs: float | None) -> float | None:
    known = [value for value in (mine, theirs) if value is not None]
    return choose(known) if known else None


def histogram_to_json(histogram: Histogram) -> dict[str, Any]:
    """A JSON object."""
    value = dict(vars(histogram))
    if isinstance(histogram, CategoryHistogram):
        value["counts"] = dict(histogram.counts)
    return value


def histogram_from_json(value: Mapping[str, Any]) -> Histogram:
    """The inverse of `histogram_to_json`."""
    if "edges" in value:
        return NumberHistogram(**value)
    return CategoryHistogram(**(dict(value) | {"counts": Counter(value["counts"])}))
