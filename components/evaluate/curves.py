"""ROC and confusion as small tables, for the report and the dashboard."""

import numpy as np

from shipway.components.lib.held_out import HeldOut

MAX_ROC_POINTS = 100
MAX_CLASSES = 20
OTHERS = "(other classes)"


def roc_points(y: np.ndarray, score: np.ndarray) -> list[tuple[float, float, float]]:
    """At most 100 points of the ROC curve, evenly spread along its path.

    Args:
        y: codes, shape (n,): 1 positive, 0 negative, -1 left out.
        score: probability of the positive class, shape (n,).

    Returns:
        (false positive rate, true positive rate, threshold), the threshold finite; empty when one
        class is missing.
    """
    known = (y >= 0) & np.isfinite(score)
    truth, score = y[known] == 1, score[known]
    if truth.all() or not truth.any():
        return []
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    hits = np.cumsum(truth[order])[ends]
    tpr = np.append(0.0, hits / truth.sum())
    fpr = np.append(0.0, (ends + 1 - hits) / (~truth).sum())
    # The curve starts above every score; infinity is not a number that metadata can hold.
    threshold = np.append(max(1.0, ordered[0]), ordered[ends])
    steps = np.linspace(0, 2, MAX_ROC_POINTS)
    keep = np.unique(np.minimum(np.searchsorted(fpr + tpr, steps - 1e-12), len(fpr) - 1))
    return [(float(fpr[i]), float(tpr[i]), float(threshold[i])) for i in keep]


def confusion(held: HeldOut) -> tuple[list[str], list[list[int]]]:
    """Counts of the true class (row) by the predicted one (column).

    Past 20 classes the most frequent stand for themselves and the rest is one. Rows of an unseen
    class have no place in it.

    Returns:
        The classes' names and a square matrix; both empty for a regression.
    """
    labels = held.prediction.labels
    if held.target.task == "regression" or labels is None:
        return [], []
    names = [str(name) for name in held.target.classes]
    known = held.y >= 0
    y, labels = held.y[known], labels[known]
    if len(names) > MAX_CLASSES:
        counts = np.bincount(y, minlength=len(names))
        kept = np.sort(np.argsort(-counts, kind="stable")[: MAX_CLASSES - 1])
        place = np.full(len(names), len(kept))
        place[kept] = np.arange(len(kept))
        names, y, labels = [names[code] for code in kept] + [OTHERS], place[y], place[labels]
    size = len(names)
    matrix = np.bincount(y * size + labels, minlength=size * size).reshape(size, size)
    return names, [[int(count) for count in row] for row in matrix]
