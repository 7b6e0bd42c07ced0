"""A Dataset that stays on disk: columns, or blocks of rows, are read as they are asked for.

It has what fitting, encoding and training need of an Arrow table, for tables beyond memory.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shipway.components.lib.parts import ROW_GROUP
from shipway.components.lib.tables import read_batches, read_schema

BLOCK_CELLS = 1_000_000
COLUMN_CELLS = 4_000_000  # of neighbouring columns that are held at once


class StoredTable:
    """A Dataset directory, read piece by piece.

    Attributes:
        schema: its columns.
        num_rows: its rows.
    """

    def __init__(self, path: Path) -> None:
        """Read the footers.

        Raises:
            DataError: the directory is missing or empty.
        """
        self.schema = read_schema(path)
        self._path = path
        self._parts = sorted(Path(path).glob("*.parquet"))
        self._footers = [pq.read_metadata(part) for part in self._parts]
        self.num_rows = sum(footer.num_rows for footer in self._footers)
        self._held: dict[str, pa.ChunkedArray] = {}

    @property
    def column_names(self) -> list[str]:
        """Names of the columns, in order."""
        names: list[str] = self.schema.names
        return names

    def column(self, name: str) -> pa.ChunkedArray:
        """One column, whole; its neighbours are read with it, as many as may be held.

        Opening a file of thousands of columns for each of them would take minutes.
        """
        if name not in self._held:
            place = self.schema.get_field_index(name)
            count = max(1, COLUMN_CELLS // max(1, self.num_rows))
            names = self.column_names[place : place + count] or [name]
            schema = pa.schema([self.schema.field(one) for one in names])
            batches = [batch.select(names) for batch in read_batches(self._path, names)]
            table = pa.Table.from_batches(batches, schema)
            self._held = {one: table.column(one) for one in names}
        return self._held[name]

    def null_count(self, name: str) -> int:
        """How many cells of a column are missing: from the footers, where these tell."""
        place, count = self._places[name], 0
        for footer in self._footers:
            for group in range(footer.num_row_groups):
                found = footer.row_group(group).column(place).statistics
                if found is None or not found.has_null_count:
                    return int(self.column(name).null_count)
                count += found.null_count
        return count

    @cached_property
    def _places(self) -> dict[str, int]:
        schema = self._footers[0].schema
        return {schema.column(place).path: place for place in range(len(schema))}

    def blocks(self, names: Sequence[str], part: slice = slice(None)) -> Iterator[pa.Table]:
        """Some rows of some columns, in order and in bounded pieces.

        Args:
            names: columns.
            part: rows that follow each other; other row groups are not read.
        """
        rows = max(1, BLOCK_CELLS // max(1, len(names)))
        held: list[pa.RecordBatch] = []
        size = min(rows, ROW_GROUP)
        for batch in self._batches(names, *part.indices(self.num_rows)[:2], size):
            held.append(batch)
            if sum(one.num_rows for one in held) >= rows:
                yield pa.Table.from_batches(held)
                held = []
        if held:
            yield pa.Table.from_batches(held)

    def _batches(
        self, names: Sequence[str], first: int, stop: int, size: int
    ) -> Iterator[pa.RecordBatch]:
        start = 0
        for part in self._parts:
            with pq.ParquetFile(part, pre_buffer=False) as file:
                counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
                starts = start + np.cumsum([0, *counts])
                start = int(starts[-1])
                groups = [
                    group
                    for group in range(len(counts))
                    if starts[group] < stop and starts[group + 1] > first
                ]
                at = int(starts[groups[0]]) if groups else start
                for batch in file.iter_batches(size, groups, list(names)):
                    left, right = max(first - at, 0), min(stop - at, batch.num_rows)
                    at += batch.num_rows
                    if left < right:  # a row group may hold several batches
                        yield batch.slice(left, right - left)

    def take(self, rows: Sequence[int] | np.ndarray, names: Sequence[str]) -> pa.Table:
        """Some rows of some columns.

        Args:
            rows: numbers of rows, ascending.
            names: columns, in the order that is wanted.
        """
        wanted, start, pieces = np.asarray(rows, dtype=np.int64), 0, []
        for batch in read_batches(self._path, names):
            first, last = np.searchsorted(wanted, [start, start + batch.num_rows])
            pieces.append(batch.take(pa.array(wanted[first:last] - start)))
            start += batch.num_rows
        return pa.Table.from_batches(pieces).select(list(names))
