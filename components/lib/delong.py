"""Intervals of the area under the ROC curve without resampling.

E. DeLong, D. DeLong and D. Clarke-Pearson, "Comparing the areas under two or more correlated
receiver operating characteristic curves", Biometrics 44, 1988; placements by sorting (X. Sun and
W. Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014).
"""

import math
from statistics import NormalDist

import numpy as np

MIN_CLASS_ROWS = 2


def area_interval(
    truth: np.ndarray, score: np.ndarray, level: float = 0.95
) -> tuple[float, float, float] | None:
    """The area with the ends of its interval.

    The interval is made on the logit scale, so that it stays within 0 and 1 and keeps its rate
    near the ends. An area of exactly 0 or 1 has no variance to go by: its other end is the chance
    of so clean a cut among as many rows as the rarer class has.

    Args:
        truth: 1 for the positive class, 0 else; shape (n,).
        score: shape (n,).
        level: share of such intervals that hold the true area.

    Returns:
        (area, low, high), or None where a class has fewer than two rows or a score is not finite.
    """
    positive, negative = score[truth == 1], score[truth == 0]
    rarer = min(len(positive), len(negative))
    if rarer < MIN_CLASS_ROWS or not np.isfinite(score).all():
        return None
    wins = _placements(positive, negative)
    losses = _placements(negative, positive)
    area = float(wins.mean())
    error = math.sqrt(wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses))
    if area in (0.0, 1.0) or error == 0:
        reach = ((1 - level) / 2) ** (1 / rarer)
        return area, min(area, reach), max(area, 1 - reach)
    middle = math.log(area / (1 - area))
    wide = NormalDist().inv_cdf((1 + level) / 2) * error / (area * (1 - area))
    return area, _share(middle - wide), _share(middle + wide)


def _placements(mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each of mine the share of the others that lie below it; ties count one half."""
    ordered = np.sort(other)
    below = np.searchsorted(ordered, mine, side="left")
    upto = np.searchsorted(ordered, mine, side="right")
    return np.asarray((below + upto) / (2 * len(ordered)))


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-max(min(logit, 500.0), -500.0)))
