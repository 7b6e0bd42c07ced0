"""What the text of a cell is: looked at by its bytes, since regular expressions take long."""

import datetime
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.ingest.options import TextRules

INTEGER, NUMBER, BOOLEAN, TEXT = pa.int64(), pa.float64(), pa.bool_(), pa.string()
TIMES = (pa.timestamp("us"), pa.timestamp("us", "UTC"))

_ZERO, _NINE, _PLUS, _SPACE, _ASCII_END = (ord(sign) for sign in "09+ \x7f")
_EX, _LOWER = ord("x"), 0x20
# Whole numbers longer than 64 bits are codes where others of the column are no whole numbers.
_LONG_DIGITS = 19
_LONG = r"^[+-]?[0-9]{19,}$"
_TELEPHONE = r"^\+[0-9]{7,}$"

Integers = npt.NDArray[np.int32]


class MisfitError(ValueError):
    """A value is not of the type that its column was taken for."""


def _bytes(values: pa.Array) -> tuple[npt.NDArray[np.uint8], Integers, Integers]:
    """The bytes of an array of text, with the beginning and the end of each cell."""
    _, offsets, data = values.buffers()
    places = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    cells = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return cells, places[:-1], places[1:]


def has_margins(values: pa.Array) -> bool:
    """Whether a cell may begin or end with a space: never untrue when one does."""
    cells, starts, ends = _bytes(values)
    if not len(cells) or not len(starts):
        return False
    edges = np.concatenate([cells.take(starts, mode="clip"), cells.take(ends - 1, mode="clip")])
    return bool(edges.min() <= _SPACE or edges.max() >= _ASCII_END)


def are_codes(values: pa.Array, kind: pa.DataType) -> bool:
    """Whether a cell is a code that merely looks like a number: 00123, 0x1f, +4915112345678."""
    cells, starts, ends = _bytes(values)
    if not len(cells) or not len(starts):
        return False
    first = cells.take(starts, mode="clip")
    if _begin_by_zero(cells, starts[first == _ZERO], ends[first == _ZERO]):
        return True
    signed = first < _ZERO
    if signed.any():
        if _begin_by_zero(cells, starts[signed] + 1, ends[signed]):
            return True
        if (first == _PLUS).any() and _matches(values, _TELEPHONE):
            return True
    long = kind == NUMBER and (ends - starts).max() >= _LONG_DIGITS
    return bool(long and _matches(values, _LONG))


def _begin_by_zero(cells: npt.NDArray[np.uint8], starts: Integers, ends: Integers) -> bool:
    """Whether a cell of at least two signs is a zero with a digit or an x behind it."""
    longer = starts[starts + 1 < ends]
    longer = longer[cells.take(longer) == _ZERO]
    second = cells.take(longer + 1)
    return bool((((second >= _ZERO) & (second <= _NINE)) | (second | _LOWER == _EX)).any())


def _matches(values: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, pattern)).as_py())


def cast_text(values: pa.Array, kind: pa.DataType, rules: TextRules) -> pa.Array:
    """Text without spaces around it, null where missing, as another type.

    Raises:
        MisfitError: a cell is of another type.
    """
    try:
        if kind in (INTEGER, NUMBER):
            return _numbers(values, kind, rules)
        if kind == BOOLEAN and rules.true_words:
            return _booleans(values, rules)
        if kind in TIMES and rules.date_formats:
            return _times(values, kind, rules)
        return pc.cast(values, kind)
    except pa.ArrowInvalid as error:
        raise MisfitError(str(error)) from error


def _numbers(values: pa.Array, kind: pa.DataType, rules: TextRules) -> pa.Array:
    if rules.thousands or rules.decimal != ".":
        thousands, decimal = re.escape(rules.thousands), re.escape(rules.decimal)
        groups = f"[0-9]{{1,3}}(?:{thousands}[0-9]{{3}})+|" if thousands else ""
        pattern = rf"^[+-]?(?:{groups}[0-9]+)?(?:{decimal}[0-9]*)?(?:[eE][+-]?[0-9]+)?$"
        if pc.all(pc.match_substring_regex(values, pattern)).as_py() is False:
            raise MisfitError("a cell is no number by the given signs")
        if thousands:
            values = pc.replace_substring(values, rules.thousands, "")
        values = pc.replace_substring(values, rules.decimal, ".")
    if are_codes(values, kind):
        raise MisfitError("a cell is a code")
    try:
        return pc.cast(values, kind)
    except pa.ArrowInvalid:
        # Releases of pyarrow differ in whether they take the sign of +5.
        if not _matches(values, r"^\+[0-9.]"):
            raise
        return pc.cast(pc.replace_substring_regex(values, r"^\+", ""), kind)


def _booleans(values: pa.Array, rules: TextRules) -> pa.Array:
    lower = pc.utf8_lower(values)
    true = pc.is_in(lower, value_set=pa.array(["true", *rules.true_words]))
    false = pc.is_in(lower, value_set=pa.array(["false", *rules.false_words]))
    if pc.all(pc.or_(pc.or_(true, false), pc.is_null(values))).as_py() is False:
        raise MisfitError("a cell is no word for true or false")
    return pc.if_else(pc.is_valid(values), true, pa.scalar(None, BOOLEAN))


def _times(values: pa.Array, kind: pa.DataType, rules: TextRules) -> pa.Array:
    for one in rules.date_formats:
        if ("%z" in one) != (kind.tz is not None):
            continue
        try:
            times = pc.strptime(values, format=one, unit="us")
        except pa.ArrowInvalid:
            continue
        _check_days(values, times, one)
        return pc.cast(times, kind)
    return pc.cast(values, kind)


def _check_days(values: pa.Array, times: pa.Array, pattern: str) -> None:
    """Refuse 31.02., which is read as the 2nd or 3rd of March, and years of two digits by %Y."""
    naive = pc.cast(times, TIMES[0])
    doubtful = pc.or_(pc.less_equal(pc.day(naive), 3), pc.less(pc.year(naive), 1000))
    for text in pc.unique(values.filter(pc.fill_null(doubtful, False))).to_pylist():
        _strictly(text, pattern)


def _strictly(text: str, pattern: str) -> Any:
    try:
        return datetime.datetime.strptime(text, pattern)
    except ValueError as error:
        raise MisfitError(str(error)) from error
