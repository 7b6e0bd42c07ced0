"""A table as histograms: the reference that others are compared to, and what is held against it.

It is made by streaming, is a few kB to some 100 kB of JSON, and adds up: those of two days, of two
pods or of two workers of a Beam job make that of both.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from shipway.components.lib.drift.columns import View, views_of
from shipway.components.lib.drift.histograms import (
    Histogram,
    histogram_for,
    histogram_from_json,
    histogram_to_json,
)
from shipway.components.lib.drift.sample import SAMPLE, draw
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.files import write_json_aside

FORMAT = 1
QUARTERS = 4

Tables = Callable[[], Iterator[pa.Table]]


@dataclass
class Reference:
    """Histograms of a table.

    Attributes:
        columns: names of the raw columns, in table order.
        views: how they are looked at.
        histograms: one a view.
        skipped: columns that are not compared, and why.
        rows: number of rows.
        quarters: histograms of the first to the fourth quarter of the rows, one list a view.
    """

    columns: list[str]
    views: list[View]
    histograms: list[Histogram]
    skipped: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    quarters: list[list[Histogram]] = field(default_factory=list)

    def counting(self, tables: Iterable[pa.Table]) -> "Reference":
        """Count another table in the same bins; a column that it lacks stays empty."""
        other = Reference(
            [], list(self.views), [histogram.emptied() for histogram in self.histograms]
        )
        for table in tables:
            other.columns += [name for name in table.column_names if name not in other.columns]
            other.rows += table.num_rows
            for view, histogram in zip(other.views, other.histograms, strict=True):
                if view.column in table.column_names:
                    histogram.add(view, table.column(view.column))
        return other

    def merge(self, other: "Reference") -> None:
        """Take over the counts of a reference with the same bins.

        Raises:
            ConfigurationError: it has other views.
        """
        if self.views != other.views:
            raise ConfigurationError(
                "Two references with different columns do not add up. Count both by one of them."
            )
        self.rows += other.rows
        for mine, theirs in zip(self.histograms, other.histograms, strict=True):
            mine.merge(theirs)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "format": FORMAT,
            "rows": self.rows,
            "columns": self.columns,
            "skipped": self.skipped,
            "views": [vars(view) for view in self.views],
            "histograms": [histogram_to_json(one) for one in self.histograms],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Reference":
        """The inverse of `to_json`; quarters are not kept."""
        if value["format"] != FORMAT:
            raise ValueError(f"it has format {value['format']!r}, this version reads {FORMAT}")
        return cls(
            list(value["columns"]),
            [View(**view) for view in value["views"]],
            [histogram_from_json(one) for one in value["histograms"]],
            dict(value["skipped"]),
            value["rows"],
        )

    def save(self, path: Path) -> None:
        """Write the reference as JSON."""
        write_json_aside(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "Reference":
        """Read a reference.

        Raises:
            ConfigurationError: the file is missing or is none.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"'{path}' is no reference of drift ({error}); write it again."
            ) from error


def build_reference(
    tables: Tables, ignored: Sequence[str] = (), seed: int = 0
) -> tuple[Reference, pa.Table]:
    """Make a reference in two passes: the bins from a sample, the counts from all rows.

    Args:
        tables: gives the rows, once a pass, in one order.
        ignored: columns to leave out.
        seed: draws the sample.

    Returns:
        The reference and the sample.
    """
    sample, rows = draw(tables(), SAMPLE, seed)
    views: list[View] = []
    skipped: dict[str, str] = {}
    for name in sample.column_names:
        if name in ignored:
            continue
        found, reason = views_of(name, sample.column(name))
        views += found
        if reason:
            skipped[name] = reason
    empty = [histogram_for(view, sample.column(view.column)) for view in views]
    plan = Reference(sample.column_names, views, empty)
    parts = _quarters(plan, tables(), rows)
    whole = plan.counting([])
    for part in parts:
        whole.merge(part)
    whole.columns, whole.skipped = sample.column_names, skipped
    whole.quarters = [list(of_view) for of_view in zip(*(p.histograms for p in parts), strict=True)]
    return whole, sample


def _quarters(plan: Reference, tables: Iterable[pa.Table], rows: int) -> list[Reference]:
    """The counts of each quarter of the rows, in one pass."""
    parts = [plan.counting([]) for _ in range(QUARTERS)]
    ends = [rows * (quarter + 1) // QUARTERS for quarter in range(QUARTERS)]
    start = 0
    for table in tables:
        done = 0
        while done < table.num_rows:
            quarter = next(index for index, end in enumerate(ends) if start < end)
            mine = table.slice(done, ends[quarter] - start)
            parts[quarter].merge(plan.counting([mine]))
            start += mine.num_rows
            done += mine.num_rows
    return parts
