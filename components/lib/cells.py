"""How a value stands in a cell of a report's table: as text, safely, and sorted sensibly."""

import datetime
import math
import numbers
import re
from typing import Any

from markupsafe import Markup

MAX_TEXT = 600
SIGNIFICANT_DIGITS = 4
ROUNDING = 1e-12  # below it a number is what sums of fractions leave
NOTHING = Markup('<span class="none">&#8211;</span>')

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_PERCENTAGE = re.compile(r"-?[0-9][0-9,.]*%")
_UNBROKEN = re.compile(r"(\S{24})(?=\S)")
_TONES = {
    "good": ("pass", "passed", "ok", "blessed", "promoted", "succeeded"),
    "poor": ("fail", "failed", "rejected", "rolled_back", "stopped", "error"),
    "wary": ("warn", "warning", "degraded", "skipped"),
}
_SIGNS = {"good": "&#10003;", "poor": "&#10005;", "wary": "!", "calm": "&#8226;"}


def is_number(value: object) -> bool:
    """Whether a value is a number; a boolean is not."""
    return isinstance(value, numbers.Real) and type(value).__name__ not in ("bool", "bool_")


def stands_right(value: object) -> bool:
    """Whether a value is aligned and sorted as a number: percentages in text are, too."""
    return is_number(value) or (isinstance(value, str) and bool(_PERCENTAGE.fullmatch(value)))


def number_text(value: float) -> str:
    """A number as a person reads it: 4 significant digits, thousands separated.

    Whole numbers are written out up to 10**15. Not-a-number and infinities are named. What is below
    1e-12 is nothing but rounding, and written as 0.
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("infinite" if value > 0 else "-infinite")
    size = abs(value)
    if size < ROUNDING:
        return "0"
    if float(value).is_integer() and size < 1e15:
        return f"{int(value):,}"
    if size >= 1e15 or size < 1e-4:
        return f"{value:.{SIGNIFICANT_DIGITS - 1}e}".replace("e+", "e")
    if size >= 10**SIGNIFICANT_DIGITS:
        return f"{value:,.0f}"
    return f"{float(f'{value:.{SIGNIFICANT_DIGITS}g}'):,.10g}"


def clipped(text: str, limit: int = MAX_TEXT) -> str:
    """Text without control characters, shortened in the middle of nowhere with an ellipsis."""
    clean = _CONTROL.sub("\ufffd", text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "\u2026"


def isolated(value: object, limit: int = MAX_TEXT) -> Markup:
    """Escaped text in a bidirectional isolate, so that a right-to-left name moves nothing else.

    Words of more than 24 characters may be broken, so that a long name does not widen its column.
    """
    if isinstance(value, Markup):
        return value
    text = clipped(str(value), limit)
    pieces = _UNBROKEN.sub("\\1\0", text).split("\0")  # clipped() leaves no NUL behind
    broken = Markup("<wbr>").join(pieces)
    return broken if text.isascii() else Markup("<bdi>{}</bdi>").format(broken)


def cell(value: Any) -> Markup:
    """The markup of one table cell.

    Args:
        value: a number, text, boolean, date, None, or `Markup` that is taken as it stands.
    """
    if isinstance(value, Markup):
        return value
    if value is None or (is_number(value) and math.isnan(value)):
        return NOTHING
    if is_number(value):
        return Markup(number_text(value))
    if isinstance(value, datetime.datetime | datetime.date):
        return Markup(value.isoformat())
    if isinstance(value, list | tuple | set | frozenset):
        return isolated(", ".join(_plain(item) for item in value))
    return isolated(_plain(value)) if value != "" else NOTHING


def _plain(value: Any) -> str:
    if type(value).__name__ in ("bool", "bool_"):
        return "yes" if value else "no"
    return number_text(value) if is_number(value) else str(value)


def tone_of(verdict: str) -> str:
    """The colour family of a verdict: good, wary, poor, or calm for a word that is none."""
    return next((tone for tone, words in _TONES.items() if verdict.casefold() in words), "calm")


def chip(verdict: str) -> Markup:
    """A verdict as a coloured chip with a sign, readable without colours too."""
    tone = tone_of(verdict)
    sign = Markup(_SIGNS[tone])
    word = "warning" if verdict == "warn" else verdict.replace("_", " ")
    return Markup('<span class="chip {}"><b aria-hidden="true">{}</b>{}</span>').format(
        tone, sign, word
    )
