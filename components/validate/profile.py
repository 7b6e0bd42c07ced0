"""What one pass over a table measures, beside TFDV's statistics."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.validate.casting import ColumnCast, cast_column
from shipway.components.validate.chunks import Chunk

NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
MOSTLY = 0.5


@dataclass
class TextNumbers:
    """How many values of a text column are written like numbers.

    Attributes:
        numbers: values that are.
        others: values that are not, blank ones included.
        first_row: row of the first other value, counted from 1; 0 when there is none.
        first_value: that value.
    """

    numbers: int = 0
    others: int = 0
    first_row: int = 0
    first_value: str = ""

    @property
    def given_up(self) -> bool:
        """Most values are words, so the column is no longer looked at."""
        return self.numbers < MOSTLY * (self.numbers + self.others)

    def add(self, column: pa.Array, row_numbers: np.ndarray) -> None:
        """Count one batch.

        Args:
            column: its texts.
            row_numbers: the row of each in the table, counted from 1.
        """
        if self.given_up:
            return
        counted = pc.value_counts(pc.drop_null(column))
        values, counts = counted.field(0), counted.field(1)
        written = pc.match_substring_regex(values, NUMBER)
        numbers = pc.sum(pc.filter(counts, written)).as_py() or 0
        others = (pc.sum(counts).as_py() or 0) - numbers
        if others and not self.first_row and numbers:
            odd = pc.filter(values, pc.invert(written))
            index = pc.index(pc.is_in(column, value_set=odd), True).as_py()
            self.first_row, self.first_value = int(row_numbers[index]), str(column[index].as_py())
        self.numbers, self.others = self.numbers + numbers, self.others + others

    def merge(self, later: "TextNumbers") -> None:
        """Take in what was counted in later rows."""
        if self.given_up:
            return
        if not self.first_row:
            self.first_row, self.first_value = later.first_row, later.first_value
        self.numbers, self.others = self.numbers + later.numbers, self.others + later.others


@dataclass
class Notes:
    """What TFDV does not tell, of some rows or of all.

    Attributes:
        text_numbers: text columns that hold mostly numbers, by name.
        infinities: number of infinite values by column, where there are any.
    """

    text_numbers: dict[str, TextNumbers] = field(default_factory=dict)
    infinities: Counter[str] = field(default_factory=Counter)

    def merge(self, later: "Notes") -> None:
        """Take in what was noted in later rows."""
        for name, seen in later.text_numbers.items():
            self.text_numbers.setdefault(name, TextNumbers()).merge(seen)
        self.infinities += later.infinities

    def settle(self) -> None:
        """Forget the columns that hold words."""
        kept = {name: seen for name, seen in self.text_numbers.items() if not seen.given_up}
        self.text_numbers = {name: seen for name, seen in kept.items() if seen.numbers}


@dataclass
class Profile:
    """A table as it was measured.

    Attributes:
        statistics: TFDV's DatasetFeatureStatisticsList; the first dataset is the whole table, the
            others are slices.
        rows: number of rows that were measured.
        table_rows: number of rows of the table; more than `rows` where a sample was measured.
        casts: how each column was handed to TFDV, in table order.
        chunks: what was read.
        notes: what was seen on the way.
        route: which way it was measured, and why; for the page.
        unsliced: columns that were to be sliced and were not, with the reason.
    """

    statistics: Any
    rows: int
    table_rows: int
    casts: list[ColumnCast]
    chunks: list[Chunk]
    notes: Notes = field(default_factory=Notes)
    route: str = ""
    unsliced: dict[str, str] = field(default_factory=dict)

    @property
    def sampled(self) -> bool:
        """Whether not all rows were measured."""
        return self.rows < self.table_rows


def prepare(
    batch: pa.RecordBatch, casts: list[ColumnCast], row_numbers: np.ndarray, notes: Notes | None
) -> pa.RecordBatch:
    """A batch as TFDV takes it.

    Args:
        batch: of the table, in its own types.
        casts: of every column.
        row_numbers: the row of each in the table, counted from 1.
        notes: takes what TFDV would not tell; None where that is known.
    """
    arrays, names = [], []
    for cast, raw in zip(casts, batch.columns, strict=True):
        if cast.target is None:
            continue
        column, infinite = cast_column(raw, cast)
        if notes is not None and infinite:
            notes.infinities[cast.name] += infinite
        if notes is not None and cast.kind == "text":
            notes.text_numbers.setdefault(cast.name, TextNumbers()).add(column, row_numbers)
        arrays.append(column)
        names.append(cast.name)
    return pa.RecordBatch.from_arrays(arrays, names=names)
