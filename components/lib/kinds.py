"""What a raw column is: a number, numbers in text, a boolean, a date, a category, or no use.

A column is looked at once, on the training rows. Text is judged by its distinct values.
"""

import math
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.clocks import is_plainly_duration, parse_clock, parse_duration
from shipway.components.lib.orders import order_of
from shipway.components.lib.words import parse_boolean, parse_moment, parse_number

MAX_CODES = 32
IDENTIFIER_SHARE = 0.95
IDENTIFIER_ROWS = 50
PARSED_SHARE = 0.95
FREE_TEXT_WORDS = 5


def is_number(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds numbers."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_moment(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds dates or times."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def kind_of(column: pa.ChunkedArray) -> tuple[str, str]:
    """The kind of a column, and why.

    Args:
        column: the training rows' values.

    Returns:
        One of the kinds of `ColumnPlan` that need not be asked for, or "drop"; and a short reason.
    """
    if column.null_count == len(column):
        return "drop", "every value is missing"
    if is_number(column.type):
        return _kind_of_numbers(column)
    if pa.types.is_boolean(column.type):
        distinct = len(pc.unique(column.drop_null()))
        return ("boolean", "true or false") if distinct > 1 else ("drop", "it has one value only")
    if is_moment(column.type):
        distinct = len(pc.unique(column.drop_null()))
        return ("datetime", "a date or time") if distinct > 1 else ("drop", "it has one value only")
    if is_text(column.type):
        return _kind_of_text(column)
    return "drop", f"no rule for columns of type {column.type}"


def kind_of_category(values: int) -> str:
    """Whether a category of so many values is coded by rank, or by statistics."""
    return "category" if values <= MAX_CODES else "category_many"


def whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of whole numbers as int64; null for what is not finite."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    return pc.cast(column, pa.int64(), safe=False)


def _kind_of_numbers(column: pa.ChunkedArray) -> tuple[str, str]:
    values = pc.cast(column.drop_null(), pa.float64())
    values = values.filter(pc.is_finite(values))
    if not len(values):
        return "drop", "no value is finite"
    bounds = pc.min_max(values)
    if bounds["min"].as_py() == bounds["max"].as_py():
        if column.null_count:
            return "number", "one value or missing"
        return "drop", "it has one value only"
    return "number", "numbers"


def _kind_of_text(column: pa.ChunkedArray) -> tuple[str, str]:
    known = column.drop_null()
    values = [text for text in pc.unique(known).to_pylist() if text.strip()]
    if not values:
        return "drop", "every value is blank"
    if len(values) == 1 and not column.null_count:
        return "drop", "it has one value only"
    if _share(values, lambda text: not math.isnan(parse_number(text))) >= PARSED_SHARE:
        return "text_number", "numbers in text"
    if len(values) <= 4 and all(not math.isnan(parse_boolean(text)) for text in values):
        return "boolean", "words of yes and no"
    if _share(values, lambda text: parse_moment(text) is not None) >= PARSED_SHARE:
        return "datetime", "dates or times in text"
    if _share(values, lambda text: not math.isnan(parse_clock(text))) >= PARSED_SHARE:
        return "clock", "times of day in text"
    timed = _share(values, lambda text: not math.isnan(parse_duration(text))) >= PARSED_SHARE
    if timed and any(map(is_plainly_duration, values)):
        return "duration", "durations in text"
    if len(values) <= MAX_CODES:
        order = order_of(sorted({text.strip() for text in values}))
        if order is not None and len(values) == len(pc.unique(known)):
            return "ordered", f"{len(order)} steps in a plain order"
        return "category", f"{len(values)} values"
    if len(values) >= IDENTIFIER_SHARE * len(known) and len(known) >= IDENTIFIER_ROWS:
        return "drop", "an identifier: nearly every row has a value of its own"
    words = sum(text.count(" ") + 1 for text in values) / len(values)
    if words > FREE_TEXT_WORDS and len(values) > 0.5 * len(known):
        return "drop", "free text"
    return "category_many", f"{len(values):,} values"


def _share(values: Sequence[str], holds: Callable[[str], bool]) -> float:
    looked_at = values[:2000]
    return sum(holds(text) for text in looked_at) / len(looked_at)
