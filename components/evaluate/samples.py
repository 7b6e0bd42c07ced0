"""A bounded sample of the rows that taught the model, for what is fitted beside it."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.queries import labels_of
from shipway.components.lib.tables import count_rows, read_batches, read_table

MAX_ROWS = 20_000
SPLITS = ("training", "validation")


@dataclass(frozen=True)
class Taught:
    """A sample of the rows that the model was trained on.

    Attributes:
        matrix: their features, float32 of shape (n, k).
        y: their labels, as the target encodes them.
        splits: where they are from, in words.
    """

    matrix: np.ndarray
    y: np.ndarray
    splits: str


def taught_rows(plan: FeaturePlan, tables: Sequence[Path], seed: int) -> Taught:
    """A sample of training rows, or of training and validation rows in their shares.

    Args:
        plan: the model's feature plan, fitted on the training rows.
        tables: Dataset directories: training, and validation where it taught the model, too.
        seed: of the draw.
    """
    whole = plan.group_column * plan.target.ranked
    counts = [count_rows(path) for path in tables]
    limits = [MAX_ROWS * count // max(1, sum(counts)) for count in counts]
    samples = [
        sample_rows(path, limit, seed, whole) for path, limit in zip(tables, limits, strict=True)
    ]
    train, *validation = samples
    features = [plan.transform_training(train), *map(plan.transform, validation)]
    labels = [labels_of(plan, rows) for rows in samples]
    return Taught(
        np.concatenate(features), np.concatenate(labels), " and ".join(SPLITS[: len(tables)])
    )


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
