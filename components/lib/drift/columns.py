"""What of a column is compared between two tables: its views, and their values.

A number is compared as it is, a text with few values as a category, a text with many by its
length. A date is compared as such and by the parts that come again: hour and weekday. A table that
is compared later, or a payload log, may hold the same column in another type: the baseline's view
decides how its cells are read.
"""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.columns import encode_distinct, numbers
from shipway.components.lib.kinds import PARSED_SHARE, is_moment, is_number, is_text
from shipway.components.lib.moments import seconds_of
from shipway.components.lib.words import parse_moment, parse_number

MAX_VALUES = 5_000
OWN_VALUE_SHARE = 0.5
IDENTIFIER_ROWS = 50
LOOKED_AT = 2_000
DAY = 86_400.0
_ADDED = {"length": "length", "hour": "hour", "weekday": "weekday"}


@dataclass(frozen=True)
class View:
    """One way to look at a column.

    Attributes:
        column: the raw column.
        kind: "number", "category", "date", "hour", "weekday", or "length" of a text.
    """

    column: str
    kind: str

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"{self.column} ({_ADDED[self.kind]})" if self.kind in _ADDED else self.column


def views_of(name: str, values: pa.ChunkedArray) -> tuple[list[View], str]:
    """How a column of the baseline is compared, and if not at all, why.

    Args:
        name: of the column.
        values: a sample of the baseline's rows, in their order.
    """
    values = _plain(values)
    kind = values.type
    if values.null_count == len(values) or pa.types.is_boolean(kind):
        return [View(name, "category")], ""
    if is_moment(kind):
        return _moment_views(name, values), ""
    if is_number(kind):
        if _counts_rows(values):
            return [], "it numbers the rows, which goes on by itself"
        return [View(name, "number")], ""
    if not is_text(kind):
        return [], f"there is no rule for columns of type {kind}"
    known = values.drop_null()
    texts = pc.unique(known).to_pylist()
    looked = texts[:LOOKED_AT]
    if sum(not math.isnan(parse_number(t)) for t in looked) >= PARSED_SHARE * len(looked):
        return [View(name, "number")], ""
    if sum(parse_moment(t) is not None for t in looked) >= PARSED_SHARE * len(looked):
        return _moment_views(name, values), ""
    own = len(known) >= IDENTIFIER_ROWS and len(texts) > OWN_VALUE_SHARE * len(known)
    return [View(name, "length" if own or len(texts) > MAX_VALUES else "category")], ""


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        return values.cast(values.type.value_type)
    return values


def _counts_rows(values: pa.ChunkedArray) -> bool:
    """Whether whole numbers rise from each row to the next: the number of a row, or of an order."""
    if not pa.types.is_integer(values.type) or values.null_count or len(values) < IDENTIFIER_ROWS:
        return False
    array = values.to_numpy()
    return bool((array[1:] > array[:-1]).all())


def _moment_views(name: str, values: pa.ChunkedArray) -> list[View]:
    views = [View(name, "date")]
    for kind in ("hour", "weekday"):
        part = view_numbers(View(name, kind), values)
        if len(np.unique(part[~np.isnan(part)])) > 1:
            views.append(View(name, kind))
    return views


def view_numbers(view: View, values: pa.ChunkedArray) -> np.ndarray:
    """The numbers of a view, float64 of shape (n,); NaN where there is none.

    Dates are seconds since 1970 in UTC, weekdays 0 for Monday to 6.
    """
    values = _plain(values)
    if values.null_count == len(values):
        return np.full(len(values), math.nan)
    if view.kind == "length":
        if not is_text(values.type):
            values = values.cast(pa.string())
        return numbers(pc.utf8_length(values))
    if view.kind == "number":
        if is_text(values.type):
            return encode_distinct(values, lambda text: (parse_number(text),), 1)[:, 0]
        readable = is_number(values.type) or pa.types.is_boolean(values.type)
        return numbers(values) if readable else np.full(len(values), math.nan)
    seconds = seconds_of(values)
    if view.kind == "hour":
        return np.asarray(np.floor(seconds / 3600) % 24)
    # The first of January 1970 was a Thursday.
    return np.asarray((np.floor(seconds / DAY) + 3) % 7) if view.kind == "weekday" else seconds


def view_texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a category as texts without blanks around them."""
    return pc.utf8_trim_whitespace(_plain(values).cast(pa.string()))
