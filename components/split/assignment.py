"""Which row goes where: each strategy gives a code for every row, 0 train, 1 validation, 2 test.

Rows that are equal in all columns but the label have one hash, and never straddle splits.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.columns import numbers
from shipway.components.lib.errors import DataError
from shipway.components.lib.kinds import is_moment, is_number, is_text
from shipway.components.lib.task import Target
from shipway.components.lib.words import parse_moment

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")
MIN_CLASS_ROWS = 3


def row_hashes(table: pa.Table, *but: str) -> np.ndarray:
    """A 64-bit hash of each row's content but for some columns; shape (n,), uint64.

    It depends on the values and the columns' names alone, so that a row keeps its split when rows
    are appended or the table is read again.
    """
    total = np.zeros(table.num_rows, dtype=np.uint64)
    for name in sorted(table.column_names):
        if name in but:
            continue
        salt = np.uint64(pd.util.hash_array(np.array([name], dtype=object))[0])
        total ^= _mixed(_value_hashes(table.column(name)) ^ salt)
    return _mixed(total)


def _value_hashes(column: pa.ChunkedArray) -> np.ndarray:
    if is_number(column.type) or pa.types.is_boolean(column.type):
        values = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
        return np.asarray(pd.util.hash_array(numbers(values) + 0.0))  # -0.0 equals 0.0
    if is_moment(column.type):
        column = column.cast(pa.timestamp("us"), safe=False)
        return np.asarray(pd.util.hash_array(_integers(column)))
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    texts = np.array([*encoded.dictionary.to_pylist(), "\0missing"], dtype=object)
    codes = encoded.indices.fill_null(len(texts) - 1).to_numpy()
    return np.asarray(pd.util.hash_array(texts, categorize=False)[codes])


def _integers(column: pa.ChunkedArray) -> np.ndarray:
    lowest = np.iinfo(np.int64).min
    return np.asarray(column.cast(pa.int64()).fill_null(lowest).to_numpy())


def _mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (G. Steele et al., OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(values ^ (values >> np.uint64(31)))


def by_hash(hashes: np.ndarray, validation: float, test: float) -> np.ndarray:
    """By content alone: shares are about right, and membership outlives appended rows."""
    place = hashes / np.float64(2**64)
    return np.where(place < test, TEST, np.where(place < test + validation, VALIDATION, TRAIN))


def _ranked(keys: np.ndarray, validation: float, test: float) -> np.ndarray:
    """By the rank of a key, equal keys together: shares are as right as can be.

    Each split gets at least one key where there are three.
    """
    distinct, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(keys)
    parts = np.where(middle < test, TEST, np.where(middle < test + validation, VALIDATION, TRAIN))
    if len(distinct) >= 3:
        wanted = ((TEST, 0), (VALIDATION, 1), (TRAIN, len(distinct) - 1))
        for part, index in wanted:
            if part not in parts:
                parts[index] = part
    return np.asarray(parts[inverse])


def by_class(
    hashes: np.ndarray, labels: pa.ChunkedArray, target: Target, validation: float, test: float
) -> np.ndarray:
    """By content within each class, so that each split has each class in its share.

    Raises:
        DataError: a class has fewer than three rows.
    """
    codes = target.encode(labels)
    counts = np.bincount(codes, minlength=len(target.classes))
    for name, count in zip(target.classes, counts, strict=True):
        if count < MIN_CLASS_ROWS:
            raise DataError(
                f"Class '{name}' of the label has {count} row{'s' if count != 1 else ''}; each of "
                "the three splits needs one. Bring more rows of it, merge it with another class, "
                "or leave its rows out."
            )
    # Equal rows of two classes belong together: to the class of the first of them.
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    stratum = codes[first][inverse]
    parts = np.empty(len(codes), dtype=np.int64)
    for code in np.unique(stratum):
        rows = stratum == code
        parts[rows] = _ranked(hashes[rows], validation, test)
    return parts


def by_group(column: pa.ChunkedArray, name: str, validation: float, test: float) -> np.ndarray:
    """By a hash of the group, so that no group straddles; rows without one are a group.

    Raises:
        DataError: there are fewer than three groups.
    """
    keys = _mixed(_value_hashes(column))
    groups = len(np.unique(keys))
    if groups < 3:
        raise DataError(
            f"Column '{name}' has {groups} groups; each of the three splits needs one. Choose a "
            "group_column with more values, or another split_strategy."
        )
    return _ranked(keys, validation, test)


def by_time(column: pa.ChunkedArray, name: str, validation: float, test: float) -> np.ndarray:
    """By time: validation is later than training, and the test later than both; ties together.

    Raises:
        DataError: a time is missing or is none, or there are too few distinct ones.
    """
    distinct, inverse, counts = np.unique(
        _times(column, name), return_inverse=True, return_counts=True
    )
    if len(distinct) < 3:
        raise DataError(
            f"Column '{name}' has too few distinct times to cut three splits from "
            f"({len(distinct)} in {len(column):,} rows). Use split_strategy='hash', or a finer "
            "time."
        )
    # Of all cuts between two times, those with the shares nearest to the wanted ones.
    before = (np.cumsum(counts) - counts) / counts.sum()
    test_from = 2 + int(np.argmin(np.abs(before[2:] - (1 - test))))
    wanted = 1 - test - validation
    validation_from = 1 + int(np.argmin(np.abs(before[1:test_from] - wanted)))
    return np.where(
        inverse >= test_from, TEST, np.where(inverse >= validation_from, VALIDATION, TRAIN)
    )


def _times(column: pa.ChunkedArray, name: str) -> np.ndarray:
    if column.null_count:
        raise DataError(
            f"Column '{name}' orders the rows in time but is missing in {column.null_count:,} of "
            f"{len(column):,} rows. Fill it, or leave those rows out."
        )
    if is_moment(column.type):
        return _integers(column.cast(pa.timestamp("us"), safe=False))
    if is_number(column.type):
        return numbers(column)
    if is_text(column.type):
        distinct = pc.unique(column).to_pylist()
        moments = {text: parse_moment(text) for text in distinct}
        wrong = [text for text, moment in moments.items() if moment is None]
        if not wrong:
            seconds = {text: m.timestamp() for text, m in moments.items() if m is not None}
            return np.array([seconds[text] for text in column.to_pylist()])
        raise DataError(
            f"Column '{name}' orders the rows in time, but {wrong[0]!r} is no time. Write times as "
            "2024-05-31T12:00:00, or choose another time_column."
        )
    raise DataError(f"Column '{name}' is of type {column.type}, which is no time.")
