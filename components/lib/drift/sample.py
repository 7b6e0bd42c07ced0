"""A sample of rows that stream by: each row is as likely as the other, and their order is kept."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

SAMPLE = 40_000
SAMPLE_CELLS = 6_000_000
MIN_SAMPLE = 2_000


def sample_size(columns: int) -> int:
    """Rows of a sample of so many columns: about 40,000, fewer where the table is wide."""
    return min(SAMPLE, max(MIN_SAMPLE, SAMPLE_CELLS // max(1, columns)))


def draw(tables: Iterable[pa.Table], size: int, seed: int) -> tuple[pa.Table, int]:
    """A sample of streamed rows, each as likely as the other, in their order.

    Args:
        tables: pieces of a table; columns that a piece lacks are missing there.
        size: rows to draw; fewer where the table is wider than it is good for the memory.
        seed: draws.

    Returns:
        The sample and the number of all rows.
    """
    rng = np.random.default_rng(seed)
    pieces: list[pa.Table] = []
    keys: list[np.ndarray] = []
    rows, bound = 0, 1.0
    for table in tables:
        size = min(size, sample_size(table.num_columns))
        key = rng.random(table.num_rows)
        rows += table.num_rows
        pieces.append(table.filter(pa.array(key < bound)))
        keys.append(key[key < bound])
        if sum(map(len, keys)) > 2 * size:
            pieces, keys, bound = _smallest(pieces, keys, size)
    pieces, keys, bound = _smallest(pieces, keys, size)
    return joined(pieces), rows


def _smallest(
    pieces: list[pa.Table], keys: list[np.ndarray], size: int
) -> tuple[list[pa.Table], list[np.ndarray], float]:
    every = np.concatenate([*keys, np.empty(0)])
    if len(every) <= size:
        return pieces, keys, 1.0
    bound = float(np.partition(every, size)[size])
    kept = [piece.filter(pa.array(key < bound)) for piece, key in zip(pieces, keys, strict=True)]
    return kept, [key[key < bound] for key in keys], bound


def joined(pieces: Sequence[pa.Table]) -> pa.Table:
    """Pieces of a table as one; where they disagree about a type, the column becomes text."""
    if not pieces:
        return pa.table({})
    types: dict[str, set[pa.DataType]] = {}
    for piece in pieces:
        for one in piece.schema:
            types.setdefault(one.name, set()).add(one.type)
    for name, kinds in types.items():
        kinds.discard(pa.null())
        numeric = all(pa.types.is_integer(k) or pa.types.is_floating(k) for k in kinds)
        if len(kinds) > 1 and not numeric:
            pieces = [_as_text(piece, name) for piece in pieces]
    return pa.concat_tables(pieces, promote_options="permissive").combine_chunks()


def _as_text(piece: pa.Table, name: str) -> pa.Table:
    if name not in piece.column_names:
        return piece
    place = piece.column_names.index(name)
    return piece.set_column(place, name, piece.column(name).cast(pa.string()))
