"""A range of a feature as a reader knows its column: categories, dates and days by their names."""

import calendar
import datetime

import numpy as np

from shipway.components.lib.cells import number_text
from shipway.components.lib.encoders import CODED, ColumnPlan
from shipway.components.lib.features import to_float32

NAMED = 3


def range_words(column: ColumnPlan | None, output: int, low: float, high: float) -> str:
    """What a range of a feature holds.

    Args:
        column: what the feature is made of; None where it is made of several.
        output: which of the column's features it is.
        low: the smallest value of the range.
        high: its largest value.
    """
    kind = column.kind if column else ""
    if column and kind in CODED and column.table:
        return _categories(column, output, low, high)
    if kind == "boolean":
        low, high = round(low), round(high)
        return _joined("yes" if low else "no", "yes" if high else "no")
    part = column.parts[output] if column and kind == "datetime" else ""
    if part == "days":
        return _joined(_date(low), _date(high))
    if part == "weekday":
        return _joined(calendar.day_name[int(low)], calendar.day_name[int(high)])
    return _joined(_number(low, part), _number(high, part))


def _categories(column: ColumnPlan, output: int, low: float, high: float) -> str:
    codes = to_float32(np.array([features[output] for features in column.table.values()]))
    names = [
        name for name, code in zip(column.table, codes, strict=True) if low <= float(code) <= high
    ]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more if names else "values that training did not see"


def _number(value: float, part: str) -> str:
    return f"{value:.0f}" if part == "year" else number_text(float(f"{value:.6g}"))


def _date(days: float) -> str:
    try:
        return (datetime.date(1970, 1, 1) + datetime.timedelta(days=int(days // 1))).isoformat()
    except OverflowError:
        return number_text(days)


def _joined(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
