"""64-bit hashes of values and rows: of what is written, whatever the chunk, the run or the machine.

A row's hash is the exclusive or of its columns' hashes, so that a column is taken out again by the
same operation: all rows that are equal but for one column are found in linear time.
"""

import functools

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.columns import numbers
from shipway.components.lib.kinds import is_moment, is_number

LAST_BITS = np.uint64(42)  # of a float's 52: what is left tells a thousandth apart
HALF = np.uint64(1 << 41)


def cell_hashes(name: str, column: pa.ChunkedArray) -> np.ndarray:
    """A column's part in the hashes of its rows; equal where the cells are equal."""
    return mixed(value_hashes(column) ^ _salt(name))


@functools.lru_cache(10_000)
def _salt(name: str) -> np.uint64:
    return np.uint64(pd.util.hash_array(np.array([name], dtype=object))[0])


def value_hashes(column: pa.ChunkedArray) -> np.ndarray:
    """A hash of each cell, whatever the column's name."""
    if is_number(column.type) or pa.types.is_boolean(column.type):
        values = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
        return np.asarray(pd.util.hash_array(numbers(values) + 0.0))  # -0.0 equals 0.0
    if is_moment(column.type):
        column = column.cast(pa.timestamp("us"), safe=False)
        return np.asarray(pd.util.hash_array(_integers(column)))
    return _text_hashes(column.cast(pa.string()), loose=False)


def loose_hashes(name: str, column: pa.ChunkedArray) -> np.ndarray | None:
    """As `cell_hashes`, but equal for text in another case or spacing and for rounded numbers.

    Returns:
        None for a column of which nothing is written in two ways.
    """
    if pa.types.is_floating(column.type):
        rounded = ((numbers(column) + 0.0).view(np.uint64) + HALF) >> LAST_BITS
        return mixed(rounded ^ _salt(name))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return mixed(_text_hashes(column.cast(pa.string()), loose=True) ^ _salt(name))
    return None


def _text_hashes(column: pa.ChunkedArray, loose: bool) -> np.ndarray:
    encoded = column.combine_chunks().dictionary_encode()
    distinct = encoded.dictionary
    if loose:
        words = pc.utf8_trim_whitespace(pc.utf8_lower(distinct))
        distinct = pc.replace_substring_regex(words, r"\s+", " ")
    texts = np.array([*distinct.to_pylist(), "\0missing"], dtype=object)
    codes = encoded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(pd.util.hash_array(texts, categorize=False)[codes])


def _integers(column: pa.ChunkedArray) -> np.ndarray:
    lowest = np.iinfo(np.int64).min
    return np.asarray(column.cast(pa.int64()).fill_null(lowest).to_numpy())


def mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (G. Steele et al., OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(values ^ (values >> np.uint64(31)))
