"""The order of categories, where their words leave no doubt: scales, numbered steps, ranges."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise

# Each step of a scale may have several words, split by "|".
_SCALES = [
    "very low, low, medium|moderate|mid|average|normal, high, very high, critical|extreme",
    "xxs, xs, s, m, l, xl, xxl|2xl, xxxl|3xl",
    "extra small, small, medium, large, extra large",
    "very poor|very bad, poor|bad, fair|average, good, very good, excellent",
    "strongly disagree, disagree, somewhat disagree, neutral|undecided|neither agree nor disagree, "
    "somewhat agree, agree, strongly agree",
    "very dissatisfied|very unsatisfied, dissatisfied|unsatisfied, neutral, satisfied, "
    "very satisfied",
    "very unlikely, unlikely, neutral, likely, very likely",
    "never, rarely|seldom, sometimes|occasionally, often|frequently, usually, always",
    "none, mild, moderate, severe, critical",
    "beginner|novice, intermediate, advanced, expert",
    "bronze, silver, gold, platinum, diamond",
    "first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth",
    "1st, 2nd, 3rd, 4th, 5th, 6th, 7th, 8th, 9th, 10th",
    "jan|january, feb|february, mar|march, apr|april, may, jun|june, jul|july, aug|august, "
    "sep|sept|september, oct|october, nov|november, dec|december",
    "mon|monday, tue|tues|tuesday, wed|wednesday, thu|thur|thurs|thursday, fri|friday, "
    "sat|saturday, sun|sunday",
]
SCALES = [
    {word: rank for rank, words in enumerate(scale.split(", ")) for word in words.split("|")}
    for scale in _SCALES
]
FEWEST = 3  # two values have no order that a tree could not make itself
_STEP = re.compile(
    r"(q|quarter|quartile|quintile|decile|level|lvl|grade|stage|tier|rank|priority)"
    r"[ _-]?(\d{1,3})\Z"
)
_NUMBER = r"[$€£]?(\d[\d,]*(?:\.\d+)?)"
_UNIT = r"\s*(k|%|[a-z]+)?"
_BELOW = re.compile(rf"(?:<=?|under|below|less than|up to)\s*{_NUMBER}{_UNIT}\Z")
_ABOVE = re.compile(
    rf"(?:(?:>=?|over|above|more than)\s*{_NUMBER}{_UNIT}"
    rf"|{_NUMBER}{_UNIT}\s*(?:\+|and over|or more))\Z"
)
_BETWEEN = re.compile(rf"{_NUMBER}{_UNIT}\s*(?:-|\u2013|to|\.\.)\s*{_NUMBER}{_UNIT}\Z")


def order_of(values: Sequence[str]) -> list[str] | None:
    """Categories from the least to the greatest; None where their order is not plain.

    Args:
        values: distinct, trimmed.
    """
    if len(values) < FEWEST:
        return None
    plain = {value: " ".join(value.casefold().split()) for value in values}
    for ranks in (
        *map(_by_scale, [plain] * len(SCALES), SCALES),
        _by_step(plain),
        _by_range(plain),
    ):
        if ranks is not None and len(set(ranks.values())) == len(values):
            return sorted(values, key=ranks.__getitem__)
    return None


def _by_scale(plain: dict[str, str], scale: dict[str, int]) -> dict[str, float] | None:
    ranks = {value: float(scale.get(word, -1)) for value, word in plain.items()}
    return None if -1.0 in ranks.values() else ranks


def _by_step(plain: dict[str, str]) -> dict[str, float] | None:
    found = {value: _STEP.match(word) for value, word in plain.items()}
    names = {step[1] if step else "" for step in found.values()}
    if len(names) != 1 or "" in names:
        return None
    return {value: float(step[2]) for value, step in found.items() if step}


def _by_range(plain: dict[str, str]) -> dict[str, float] | None:
    """By the lower ends, where no range reaches into the next."""
    ranges = {value: _range(word) for value, word in plain.items()}
    ends = sorted(found for found in ranges.values() if found is not None)
    apart = all(one[1] <= other[0] for one, other in pairwise(ends))
    closed = any(math.isfinite(low) and math.isfinite(high) for low, high in ends)
    if len(ends) < len(plain) or not apart or not closed:
        return None
    return {value: found[0] for value, found in ranges.items() if found}


def _range(word: str) -> tuple[float, float] | None:
    if found := _BELOW.match(word):
        return -math.inf, _amount(found[1], found[2])
    if found := _ABOVE.match(word):
        return _amount(found[1] or found[3], found[2] or found[4]), math.inf
    if found := _BETWEEN.match(word):
        low, high = _amount(found[1], found[2] or found[4]), _amount(found[3], found[4])
        return (low, high) if low <= high else None
    return None


def _amount(number: str, unit: str | None) -> float:
    return float(number.replace(",", "")) * (1_000 if unit == "k" else 1)
