"""Columns of a table as numbers: each distinct value is encoded as a single cell would be.

So batches and single rows agree to the bit by construction. Numbers alone have a vectorised way,
which is a mere cast.
"""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.encoders import ColumnPlan, Encoder, encoder_of
from shipway.components.lib.kinds import is_moment, is_number
from shipway.components.lib.pairs import complete, partner_of
from shipway.components.lib.tables import json_value


def encode_column(
    plan: ColumnPlan, column: pa.ChunkedArray, other: pa.ChunkedArray | None = None
) -> np.ndarray:
    """Make features of a column.

    Args:
        plan: of the column.
        column: its cells.
        other: those of the column that the plan names beside it.

    Returns:
        float64 of shape (n, len(plan.outputs)), NaN where the cell is missing.
    """
    if plan.kind in ("number", "boolean") and is_number(column.type):
        return numbers(column)[:, None]
    features = encode_distinct(column, encoder_of(plan), len(plan.outputs))
    if other is not None:
        complete(plan, features, encode_column(partner_of(plan), other)[:, 0])
    return features


def encode_distinct(column: pa.ChunkedArray, encode: Encoder, width: int) -> np.ndarray:
    """Apply a cell's encoder to each distinct value of a column, and spread the results."""
    if column.null_count == len(column):  # Arrow has no dictionary of nulls, nor of no rows
        return np.full((len(column), width), math.nan)
    encoded = pc.dictionary_encode(column)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    convert = json_value if is_moment(column.type) else (lambda value: value)
    results = [encode(convert(value)) for value in encoded.dictionary.to_pylist()]
    rows = np.array([*results, (math.nan,) * width], dtype=np.float64).reshape(-1, width)
    codes = pc.fill_null(encoded.indices, len(results)).to_numpy(zero_copy_only=False)
    return np.asarray(rows[codes])


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column of numbers as float64, NaN for what is missing or not finite; shape (n,)."""
    values = pc.cast(column, pa.float64(), safe=False)
    array = np.array(values.to_numpy(), dtype=np.float64)
    array[~np.isfinite(array)] = math.nan
    return array
