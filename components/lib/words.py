"""Text that stands for a number, a yes or no, or a moment: read alike in training and serving."""

import datetime
import math
import re

_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d+)?\Z", re.ASCII)
_BOOLEANS = {
    "true": 1.0, "yes": 1.0, "y": 1.0, "t": 1.0, "on": 1.0,
    "false": 0.0, "no": 0.0, "n": 0.0, "f": 0.0, "off": 0.0,
}  # fmt: skip


def parse_number(text: str) -> float:
    """A number that stands in text; NaN for what is none. "1,234.5" has thousands separators."""
    text = text.strip()
    if not _NUMBER.match(text) or not any(sign.isdigit() for sign in text):
        return math.nan
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def parse_boolean(text: str) -> float:
    """1.0 or 0.0 for a word of yes or no; NaN for another."""
    return _BOOLEANS.get(text.strip().lower(), math.nan)


def parse_moment(text: str) -> datetime.datetime | None:
    """A date or a time in ISO 8601, in UTC when it names a zone; None for what is none."""
    text = text.strip()
    if len(text) < 8 or not text[:4].isdigit():
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        return moment if moment.tzinfo is None else moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):  # in UTC it may lie beyond the year 9999
        return None
