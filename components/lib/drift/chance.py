"""What chance alone would show: reference distributions, p-values, and how many tests were made.

A column is tested by permutation: rows of both tables are thrown together and dealt anew, which for
counts is a draw from the multivariate hypergeometric distribution. It is exact for any number of
rows, and so small tables raise no alarm by their noise.

The tests of a run are held together by S. Holm's step-down procedure (Scand. J. Statistics 6(2),
1979): where nothing moved, at most the stated share of runs finds anything at all, however the
columns depend on each other. The procedure of Benjamini and Hochberg bounds the share of wrong
findings instead, and so would not keep that promise once one column has moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shipway.components.lib.drift.measures import divergence

FIRST_DRAWS = 1_000
RESAMPLES = 400
MOST_DRAWS = 20_000
ENOUGH = 10
SURE = 0.01
MANY_ROWS = 200
SHUFFLED = 1_000
COUNTABLE = 400_000_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Chance:
    """An effect held against chance, in bits of divergence.

    Attributes:
        p_value: how often chance alone shows as much.
        expected: what chance alone shows on average.
        provable: what is just told from chance at the level asked for, beyond `expected`.
    """

    p_value: float
    expected: float
    provable: float


def chance_of(
    base: np.ndarray,
    current: np.ndarray,
    level: float,
    relevant: float,
    rng: np.random.Generator,
) -> Chance:
    """Test two rows of counts for one distribution.

    Args:
        base: counts of shape (bins,).
        current: counts of shape (bins,).
        level: the smallest p-value that the run has to tell apart.
        relevant: an effect in bits below this is of no use; its p-value may be rough.
        rng: draws.
    """
    base, current = _countable(base), _countable(current)
    observed = float(divergence(base, current)) - 1e-12
    dealt = int(current.sum())
    null = _permuted(base + current, dealt, FIRST_DRAWS, rng)
    expected, tail = float(null.mean()), _Gamma(null)
    exceeding = int((null >= observed).sum())
    far = not exceeding and tail.above(observed) < SURE * level
    many = min(base.sum(), dealt) >= MANY_ROWS
    if exceeding < ENOUGH and observed - expected >= relevant and not (far and many):
        null = np.concatenate([null, _permuted(base + current, dealt, MOST_DRAWS, rng)])
        exceeding, tail = int((null >= observed).sum()), _Gamma(null)
    p_value = (exceeding + 1) / (len(null) + 1)
    if not exceeding and 2 * p_value > level:  # more tests than the draws can tell apart
        p_value = min(p_value, tail.above(observed))
    return Chance(p_value, expected, max(0.0, tail.place(level) - expected))


def _countable(counts: np.ndarray) -> np.ndarray:
    """Counts that the hypergeometric generator takes; fewer rows prove less, never more."""
    scale = min(1.0, COUNTABLE / max(1, int(counts.sum())))
    return np.asarray(counts * scale, dtype=np.int64)


def _permuted(pooled: np.ndarray, dealt: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    if pooled.sum() <= SHUFFLED:
        hands = rng.multivariate_hypergeometric(pooled, dealt, size=draws, method="count")
    else:
        hands = rng.multivariate_hypergeometric(pooled, dealt, size=draws, method="marginals")
    return divergence(pooled - hands, hands)


class _Gamma:
    """The gamma distribution with the mean and the variance of draws.

    Under the null hypothesis a divergence of many rows is a multiple of a chi-square variable,
    which is a gamma variable.
    """

    def __init__(self, draws: np.ndarray) -> None:
        mean, variance = float(draws.mean()), float(draws.var())
        self._scale = variance / mean if mean > 0 else 0.0
        self._shape = mean / self._scale if self._scale > 0 else 0.0

    def above(self, value: float) -> float:
        from scipy.special import gammaincc

        return float(gammaincc(self._shape, value / self._scale)) if self._shape else 1.0

    def place(self, share: float) -> float:
        from scipy.special import gammainccinv

        return float(gammainccinv(self._shape, share) * self._scale) if self._shape else 0.0


def interval_of(
    base: np.ndarray, current: np.ndarray, expected: float, rng: np.random.Generator
) -> tuple[float, float]:
    """A 95 % bootstrap interval of the divergence in bits, less what chance adds to it."""
    drawn = [
        rng.multinomial(int(counts.sum()), counts / counts.sum(), size=RESAMPLES)
        for counts in (base, current)
    ]
    resampled = divergence(*drawn)
    # Resampling adds chance once more; only the spread around its own mean is of use.
    spread = resampled - resampled.mean()
    corrected = float(divergence(base, current)) - expected
    ends = np.quantile(spread, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return max(0.0, corrected + float(ends[0])), max(0.0, corrected + float(ends[1]))


def new_value_chance(
    counts: np.ndarray, share: float, observed: int, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Test how many rows hold a value that the baseline has not.

    Of a column with many rare values some are new in every table: each row of a value is dealt to
    the current table with the same chance, and a value is new where all of its rows went there.

    Args:
        counts: rows of both tables by value.
        share: of the current table among the rows of both.
        observed: rows of the current table with a new value.
        level: the smallest p-value that the run has to tell apart.
        rng: draws.

    Returns:
        The p-value, and the rows that chance alone would show.
    """
    sizes, values = np.unique(counts, return_counts=True)
    # Independent rows vary more than dealt ones, so that the test errs on the quiet side.
    shares = share ** sizes.astype(float)
    new = rng.binomial(values, shares, size=(FIRST_DRAWS, len(sizes))) @ sizes
    usual = float(new.mean())
    if (new >= observed).sum() < ENOUGH:
        more = rng.binomial(values, shares, size=(MOST_DRAWS, len(sizes))) @ sizes
        new = np.concatenate([new, more])
    exceeding = int((new >= observed).sum())
    p_value = (exceeding + 1) / (len(new) + 1)
    if not exceeding and 2 * p_value > level:
        p_value = min(p_value, _Gamma(new).above(observed))
    return p_value, usual


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: those at most alpha are findings, with that family-wise rate."""
    order = np.argsort(p_values)
    scaled = np.array(p_values)[order] * np.arange(len(order), 0, -1)
    result = np.empty(len(order))
    result[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(value) for value in result]
