"""Times of day and durations that stand in cells: read alike in training and serving."""

import math
import re
from collections.abc import Sequence

_CLOCK = re.compile(
    r"(\d{1,2}):([0-5]\d)(?::([0-5]\d(?:\.\d*)?))?\s*(?:([ap])\.?m\.?)?\Z", re.ASCII | re.IGNORECASE
)
_COLONS = re.compile(
    r"(?:(\d+)\s*days?,?\s+)?(\d+):([0-5]\d):([0-5]\d(?:\.\d*)?)\Z", re.ASCII | re.IGNORECASE
)
_ISO = re.compile(
    r"P(?=.)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d*)?)S)?)?\Z",
    re.ASCII,
)
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?)\s*([a-z]+)\.?(?:\s*,|\s+and\b)?\s*", re.ASCII)
_LONGEST = 100
_SECONDS = {
    "ms": 0.001,
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604_800.0),
}


def parse_clock(text: str) -> float:
    """Minutes since midnight of "HH:MM", "HH:MM:SS" or "1:05 pm"; NaN for what is none."""
    found = _CLOCK.match(text.strip())
    if not found:
        return math.nan
    hour, minute, second, half = int(found[1]), int(found[2]), float(found[3] or 0), found[4]
    if half:
        if not 1 <= hour <= 12:
            return math.nan
        hour = hour % 12 + (12 if half in "pP" else 0)
    minutes = hour * 60 + minute + second / 60
    return minutes if minutes <= 1_440 else math.nan


def clock_of_code(value: float) -> float:
    """Minutes since midnight of a whole number hhmm, such as 1345; NaN for what is none."""
    if not 0 <= value <= 2_400 or value != int(value) or value % 100 > 59:
        return math.nan
    return float(value // 100 * 60 + value % 100)


def parse_duration(text: str) -> float:
    """Seconds of "00:12:30", "1 day 02:00:00", "1h 30m", "90 min" or "PT1H30M"; else NaN."""
    text = text.strip()
    if len(text) > _LONGEST:
        return math.nan
    if found := _COLONS.match(text):
        return _total(found.groups(), (86_400, 3_600, 60, 1))
    if found := _ISO.match(text):
        return _total(found.groups(), (604_800, 86_400, 3_600, 60, 1))
    amounts = _amounts(text)
    if not amounts:
        return math.nan
    return sum(float(amount) * _SECONDS[unit] for amount, unit in amounts)


def is_plainly_duration(text: str) -> bool:
    """Whether text cannot be but a duration: "30m" may be metres, "30 min" and "1h 5m" not."""
    amounts = _amounts(text.strip())
    return len(amounts) != 1 or len(amounts[0][1]) > 2


def _amounts(text: str) -> list[tuple[str, str]]:
    """Amounts with their units; none where the text holds anything else."""
    text, at, found = text[:_LONGEST].lower(), 0, []
    while at < len(text):
        piece = _AMOUNT.match(text, at)
        if piece is None or piece[2] not in _SECONDS:
            return []
        found.append((piece[1], piece[2]))
        at = piece.end()
    return found


def _total(parts: Sequence[str | None], seconds: Sequence[int]) -> float:
    return sum(float(part or 0) * each for part, each in zip(parts, seconds, strict=True))
