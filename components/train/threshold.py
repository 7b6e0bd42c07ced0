"""The decision threshold of a binary model."""

import numpy as np


def best_threshold(y: np.ndarray, probability: np.ndarray) -> float:
    """The probability from which on the positive class is the answer, by the best F1.

    Thresholds lie half way between neighbouring scores, so that rounding decides nothing; of equal
    ones the nearest to 0.5 is taken.

    Args:
        y: 1 for the positive class, 0 else; shape (n,).
        probability: of the positive class, shape (n,).
    """
    order = np.argsort(-probability, kind="stable")
    scores, truth = probability[order], y[order]
    hits = np.cumsum(truth)
    f1 = 2 * hits / (np.arange(1, len(y) + 1) + truth.sum())
    last = np.append(scores[1:] != scores[:-1], True)  # of equal scores, only the last may cut
    scores, f1 = scores[last], f1[last]
    below = np.append(scores[1:], 0.0)
    thresholds = (scores + below) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    chosen = thresholds[best[np.abs(thresholds[best] - 0.5).argmin()]]
    return float(np.clip(chosen, 1e-6, 1 - 1e-6))
