"""What a person says of columns, in a reviewed schema or in the file of overrides, as kinds.

It overrules what a column looks like. A reviewed schema may say more than the plan can use, and is
then passed over; what is asked for in the overrides is done or refused.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.clocks import clock_of_code, parse_clock, parse_duration
from shipway.components.lib.columns import numbers
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.kinds import (
    is_moment,
    is_number,
    is_text,
    kind_of_category,
    whole_numbers,
)
from shipway.components.lib.words import parse_moment, parse_number

LARGEST = 2.0**53  # beyond it, float64 leaves out whole numbers


@dataclass(frozen=True)
class Asked:
    """What the overrides ask of a column.

    Attributes:
        kind: "number", "category", "ordered", "date", "duration", "clock", "text", "coordinates"
            or "drop"; empty where nothing is asked.
        order: of an ordered category, its values from the least to the greatest.
        buckets: of text, how many features its words are counted in.
        parts: of a date or a time of day, the features.
        reference: of a date, where its age is measured from: another column, or a day in ISO 8601.
        longitude: of coordinates, the column beside that of the latitude.
    """

    kind: str = ""
    order: Sequence[str] = ()
    buckets: int = 0
    parts: Sequence[str] = ()
    reference: str = ""
    longitude: str = ""


def reviewed_kind(column: pa.ChunkedArray, said: str) -> tuple[str, str] | None:
    """The kind of a column whose meaning a reviewed schema states, and why.

    Args:
        column: the training rows' values.
        said: one of `schema_file.KINDS`.

    Returns:
        None where that is no help.
    """
    if column.null_count == len(column):
        return None
    source = "says the reviewed schema"
    if said in ("identifier", "free text"):
        return "drop", f"{'an identifier' if said == 'identifier' else said}, {source}"
    if said == "date" and is_text(column.type):
        return "datetime", f"dates or times in text, {source}"
    values = category_values(column) if said == "category" else None
    if values is None or not (len(values) > 1 or column.null_count):
        return None
    return kind_of_category(len(values)), f"{len(values):,} values, {source}"


def category_values(column: pa.ChunkedArray) -> list[str] | None:
    """The distinct values of a column as categories, sorted; None where it can be none.

    Text is trimmed; numbers must be whole, and are given as text in their own order.
    """
    if is_text(column.type):
        return sorted({text.strip() for text in pc.unique(column.drop_null()).to_pylist()})
    if not is_number(column.type):
        return None
    if not pa.types.is_signed_integer(column.type):
        found = numbers(column)
        found = found[~np.isnan(found)]
        if (found != np.round(found)).any() or (np.abs(found) > LARGEST).any():
            return None
    return list(map(str, sorted(pc.unique(whole_numbers(column).drop_null()).to_pylist())))


def asked_kind(name: str, column: pa.ChunkedArray, asked: Asked) -> tuple[str, str]:
    """The kind of a column as the overrides ask for it, and why.

    Raises:
        ConfigurationError: the column does not hold such values.
    """
    if asked.kind == "drop":
        return "drop", "as asked"
    if column.null_count == len(column):
        return "drop", "every value is missing"
    if len(pc.unique(column.drop_null())) == 1 and not column.null_count:
        return "drop", "it has one value only"
    if asked.kind in ("category", "ordered"):
        values = category_values(column)
        if values:
            kind = "ordered" if asked.kind == "ordered" else kind_of_category(len(values))
            return kind, f"as asked: {len(values):,} values"
    elif asked.kind == "text" and is_text(column.type):
        return "text", f"as asked: words in {asked.buckets} buckets"
    elif asked.kind == "coordinates" and is_number(column.type):
        return "coordinates", f"as asked: a latitude with '{asked.longitude}'"
    elif asked.kind in _READ:
        kind = _readable(column, asked.kind)
        if kind:
            return kind, "as asked"
    raise ConfigurationError(
        f"features_uri: column '{name}' holds {column.type}, of which nothing can be read as "
        f"{_WANTED[asked.kind]}. Ask for another kind, or leave the column out of the file."
    )


_WANTED = {
    "number": "a number",
    "category": "a category: that is text or whole numbers",
    "ordered": "a category: that is text or whole numbers",
    "date": "a date in ISO 8601",
    "duration": "a duration, such as '1h 30m', '00:12:30' or 'PT90S'",
    "clock": "a time of day, such as '13:45', or 1345 as a whole number",
    "text": "text",
    "coordinates": "a latitude in degrees",
}
_READ: dict[str, Callable[[str], Any]] = {
    "number": parse_number,
    "date": lambda text: parse_moment(text) or math.nan,
    "duration": parse_duration,
    "clock": parse_clock,
}


def _readable(column: pa.ChunkedArray, wanted: str) -> str:
    """The kind that a column is read by, where any of its cells can be; else ""."""
    if wanted == "number" and is_number(column.type):
        return "number" if not np.isnan(numbers(column)).all() else ""
    if wanted == "date" and is_moment(column.type):
        return "datetime"
    distinct = pc.unique(column.drop_null()).to_pylist()
    read: Callable[[Any], Any]
    if wanted == "clock" and is_number(column.type):
        read = clock_of_code
    elif is_text(column.type):
        read = _READ[wanted]
    else:
        return ""
    if all(read(value) != read(value) for value in distinct):
        return ""
    return {"number": "text_number", "date": "datetime"}.get(wanted, wanted)
