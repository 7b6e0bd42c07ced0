"""A Dataset in chunks of one row group each: what every route of measuring reads, in any order.

A chunk knows where its rows begin, and how many of them a sample takes: so each route draws the
very same rows, and tells of the same row numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shipway.components.lib.tables import count_rows, read_schema

SEED = 0


@dataclass(frozen=True)
class Chunk:
    """One row group.

    Attributes:
        part: name of the Parquet part in its directory.
        group: which of the part's row groups.
        first_row: rows of the table before it.
        rows: rows that it holds.
        taken: rows that are measured; fewer than `rows` in a sample.
    """

    part: str
    group: int
    first_row: int
    rows: int
    taken: int

    def picks(self) -> np.ndarray | None:
        """Places of the sampled rows, in order; None for all rows."""
        if self.taken == self.rows:
            return None
        draw = np.random.default_rng([SEED, self.first_row])
        return np.sort(draw.choice(self.rows, self.taken, replace=False))

    def row_numbers(self) -> np.ndarray:
        """The number of each measured row in the table, counted from 1."""
        picks = self.picks()
        return self.first_row + 1 + (np.arange(self.rows) if picks is None else picks)


def plan_chunks(path: Path, sample_rows: int = 0) -> list[Chunk]:
    """The chunks of a Dataset directory, from the footers alone.

    Args:
        path: the Dataset.
        sample_rows: rows to measure at most, drawn evenly from all chunks; 0 for all.

    Raises:
        DataError: the directory is missing or empty.
    """
    total, chunks, before = count_rows(path), [], 0
    share = min(1.0, sample_rows / total) if sample_rows and total else 1.0
    for part in sorted(path.glob("*.parquet")):
        footer = pq.read_metadata(part)
        for group in range(footer.num_row_groups):
            rows = footer.row_group(group).num_rows
            # By what is due so far, so that the shares add up to the sample.
            taken = round((before + rows) * share) - round(before * share)
            chunks.append(Chunk(part.name, group, before, rows, taken))
            before += rows
    return chunks


def read_chunk(source: Any, chunk: Chunk, columns: Sequence[str] | None = None) -> pa.RecordBatch:
    """The measured rows of a chunk as one batch.

    Args:
        source: the part's path, or an open file.
        chunk: which group of it.
        columns: names of the columns to read; None for all.
    """
    with pq.ParquetFile(source) as file:
        table = file.read_row_group(chunk.group, columns=None if columns is None else list(columns))
    picks = chunk.picks()
    table = table if picks is None else table.take(pa.array(picks))
    table = table.combine_chunks()
    batches = table.to_batches()
    if len(batches) == 1:
        return batches[0]
    return pa.RecordBatch.from_arrays([_whole(c) for c in table.columns], schema=table.schema)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    whole = isinstance(combined, pa.ChunkedArray)
    return pa.concat_arrays(combined.chunks or [pa.array([], combined.type)]) if whole else combined


def read_chunks(
    path: Path, chunks: Sequence[Chunk], columns: Sequence[str] | None = None
) -> Iterator[tuple[Chunk, pa.RecordBatch]]:
    """The chunks of a Dataset directory, each with its measured rows."""
    for chunk in chunks:
        yield chunk, read_chunk(path / chunk.part, chunk, columns)


def column_names(path: Path) -> list[str]:
    """The columns of a Dataset directory."""
    names: list[str] = read_schema(path).names
    return names
