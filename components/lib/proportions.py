"""Intervals of shares, and of what tells two shares apart: they hold for few rows, too."""

import math
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95


@dataclass(frozen=True)
class Share:
    """A share of rows with the ends of its interval; NaN where there is no row."""

    hits: int
    n: int
    value: float
    low: float
    high: float


def share(hits: int, n: int, level: float = LEVEL) -> Share:
    """A share with the score interval of E. Wilson (1927)."""
    if n == 0:
        return Share(0, 0, math.nan, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    value = hits / n
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    wide = z / (1 + z * z / n) * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    # Where no row hits, or all do, the end that is the value itself is a rounding error beside it.
    return Share(
        hits, n, value, max(0.0, min(value, middle - wide)), min(1.0, max(value, middle + wide))
    )


def difference(one: Share, other: Share) -> tuple[float, float, float]:
    """One minus the other, with the hybrid score interval of R. Newcombe (1998, method 10)."""
    value = one.value - other.value
    down = math.hypot(one.value - one.low, other.high - other.value)
    up = math.hypot(one.high - one.value, other.value - other.low)
    return value, max(-1.0, value - down), min(1.0, value + up)


def ratio(one: Share, other: Share, level: float = LEVEL) -> tuple[float, float, float] | None:
    """One over the other, with the log interval of D. Katz (1978); None where either is zero."""
    if not one.hits or not other.hits:
        return None
    z = NormalDist().inv_cdf((1 + level) / 2)
    error = math.sqrt(max(0.0, 1 / one.hits - 1 / one.n + 1 / other.hits - 1 / other.n))
    value = one.value / other.value
    return value, value * math.exp(-z * error), value * math.exp(z * error)
