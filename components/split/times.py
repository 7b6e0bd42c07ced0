"""Columns of moments as seconds: timestamps, dates, ISO 8601 text, and numbers of seconds."""

import datetime
import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import numbers
from shipway.components.lib.errors import DataError
from shipway.components.lib.kinds import is_moment, is_number, is_text, kind_of
from shipway.components.lib.moments import seconds_of
from shipway.components.lib.private import is_private
from shipway.components.lib.tables import read_schema
from shipway.components.split.scan import read_column

EPOCHS = ((1e8, 4e9, 1.0), (1e11, 4e12, 1e3), (1e14, 4e15, 1e6))
_NAMES_A_TIME = re.compile(r"time|date|stamp|epoch|(_|^)(at|on|ts)$", re.IGNORECASE)


def read_times(dataset: Path, name: str) -> np.ndarray:
    """The column that orders rows in time, batch by batch; float64 of shape (n,).

    Raises:
        DataError: a time is missing or is none.
    """
    pieces, missing = [], 0
    rows, field = 0, read_schema(dataset).field(name)
    for column in read_column(dataset, name):
        rows += len(column)
        missing += column.null_count
        if not missing:
            pieces.append(_ordering(column, field))
    if missing:
        raise DataError(
            f"Column '{name}' orders the rows in time but is missing in {missing:,} of "
            f"{rows:,} rows. Fill it, or leave those rows out."
        )
    return np.concatenate(pieces)


def _ordering(column: pa.ChunkedArray, field: pa.Field) -> np.ndarray:
    name = field.name
    if is_moment(column.type):
        return seconds_of(column)
    if is_number(column.type):
        return numbers(column)
    if is_text(column.type):
        seconds = seconds_of(column)
        wrong = np.flatnonzero(np.isnan(seconds))
        if not len(wrong):
            return seconds
        shown = "a value" if is_private(field) else repr(column[int(wrong[0])].as_py())
        raise DataError(
            f"Column '{name}' orders the rows in time, but {shown} is no time. Write times as "
            "2024-05-31T12:00:00, or choose another time_column."
        )
    raise DataError(f"Column '{name}' is of type {column.type}, which is no time.")


def moments(name: str, column: pa.ChunkedArray) -> np.ndarray | None:
    """Seconds since 1970 where a column plainly holds moments, else None; NaN for a missing one.

    Numbers count where all of them are seconds, milli- or microseconds of the years 1973 to 2096
    and the column is named like a time: codes have as many digits.
    """
    if is_moment(column.type):
        return seconds_of(column)
    if is_number(column.type) and _NAMES_A_TIME.search(name):
        values = numbers(column)
        known = values[~np.isnan(values)]
        for low, high, unit in EPOCHS:
            if len(known) and known.min() >= low and known.max() <= high:
                return values / unit
        return None
    if is_text(column.type) and kind_of(column)[0] == "datetime":
        return seconds_of(column)
    return None


def day(seconds: float) -> str:
    """A moment as a date; the number itself where it is none."""
    try:
        return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d}"
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"
