"""Columns of times as numbers: timestamps, dates and ISO 8601 text as seconds since 1970 in UTC."""

import datetime
import math

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import encode_distinct, numbers
from shipway.components.lib.kinds import is_moment, is_number, is_text
from shipway.components.lib.words import parse_moment

_WRITTEN = (pa.timestamp("us"), pa.timestamp("us", tz="UTC"))


def times_of(column: pa.ChunkedArray) -> np.ndarray:
    """What orders rows in time: numbers as they stand, all else by `seconds_of`."""
    column = _plain(column)
    return numbers(column) if is_number(column.type) else seconds_of(column)


def seconds_of(column: pa.ChunkedArray) -> np.ndarray:
    """Seconds since 1970, float64 of shape (n,); NaN for what is missing or no moment.

    A time without a zone is taken as UTC. A number is no moment: its unit is not known.
    """
    column = _plain(column)
    if is_moment(column.type):
        return _seconds(column)
    if not is_text(column.type):
        return np.full(len(column), math.nan)
    for kind in _WRITTEN:
        try:  # Arrow reads whole columns of one way of writing, and that is nearly all there are
            return _seconds(column.cast(kind))
        except pa.ArrowInvalid:
            continue
    return encode_distinct(column, lambda text: (_second(text),), 1)[:, 0]


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    return numbers(column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())) / 1e6


def _second(text: str) -> float:
    moment = parse_moment(text)
    if moment is None:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
