"""A bounded sample of the training rows, for what is fitted beside the model."""

import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.tables import count_rows, read_batches, read_table

MAX_ROWS = 20_000


def sample_rows(path: Path, limit: int = MAX_ROWS, seed: int = 0, whole: str = "") -> pa.Table:
    """About `limit` rows of a Dataset, drawn batch by batch; all where there are no more.

    Args:
        path: Dataset directory.
        limit: rows.
        seed: of the draw.
        whole: a column of whose values all rows are drawn or none; empty for no such column.
    """
    rows = count_rows(path)
    if rows <= limit:
        return read_table(path)
    draw = np.random.default_rng(seed)
    if whole:
        return _of_values(path, whole, limit / rows, seed)
    parts = [
        batch.filter(pa.array(draw.random(batch.num_rows) < limit / rows))
        for batch in read_batches(path)
    ]
    return pa.Table.from_batches(parts)


def _of_values(path: Path, name: str, share: float, seed: int) -> pa.Table:
    """The rows of a share of a column's values, by a hash of the value."""
    parts = []
    for batch in read_batches(path):
        column = batch.column(name).cast(pa.string()).dictionary_encode()
        below = [
            zlib.crc32(f"{seed} {value}".encode()) < share * 2**32
            for value in column.dictionary.to_pylist()
        ]
        parts.append(batch.filter(pa.array(below, pa.bool_()).take(column.indices)))
    return pa.Table.from_batches(parts)
