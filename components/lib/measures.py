"""The formulas of the metrics: each is prepared once and then a function of row weights.

What does not depend on the weights (sorting, losses, bins) is done once, so that a bootstrap round
costs a few passes over the rows. A measure that is undefined returns NaN.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from shipway.components.lib.means import Mean

Measure = Callable[[np.ndarray], float]

SMALLEST = float(np.finfo(np.float64).eps)
CALIBRATION_BINS = 10


def binary(y: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Measure]:
    """Measures of a binary task.

    Args:
        y: codes, shape (n,); 1 is the positive class and -1 a class that training never saw.
        probabilities: shape (n, 2).
        labels: predicted codes, shape (n,).
    """
    known = y >= 0
    truth = (y[known] == 1).astype(np.float64)
    score = np.asarray(probabilities[known, 1], dtype=np.float64)
    loss = -np.log(np.clip(np.where(truth > 0, score, 1 - score), SMALLEST, None))
    ranked: dict[str, Measure] = {
        "auc": area_under_roc(truth, score),
        "average_precision": _average_precision(truth, score),
        "log_loss": Mean(loss),
        "brier": Mean((score - truth) ** 2),
    }
    calibration = _calibration_error(truth, score, equal_mass_bins(score))
    return {
        **{name: _on(known, measure) for name, measure in ranked.items()},
        "accuracy": Mean(labels == y),
        **_of_positives(y == 1, labels == 1),
        "ece": _on(known, calibration),
    }


def multiclass(y: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Measure]:
    """Measures of a multiclass task; arguments as `binary`, probabilities of shape (n, k)."""
    known = y >= 0
    classes = probabilities.shape[1]
    codes = y[known].astype(np.int64)
    held = np.asarray(probabilities[known], dtype=np.float64)
    chosen = held[np.arange(len(codes)), codes]
    sure, right = held.max(axis=1), (held.argmax(axis=1) == codes).astype(np.float64)
    return {
        "log_loss": _on(known, Mean(-np.log(np.clip(chosen, SMALLEST, None)))),
        "accuracy": Mean(labels == y),
        "macro_f1": _macro_f1(y, labels, classes),
        "auc_ovr": _on(known, _mean_area(codes, probabilities[known])),
        # Of the class that is likeliest, as the probability of an answer is read.
        "ece": _on(known, _calibration_error(right, sure, equal_mass_bins(sure))),
    }


def regression(
    y: np.ndarray,
    values: np.ndarray,
    interval: np.ndarray | None = None,
    coverage: float = 0.0,
) -> dict[str, Measure]:
    """Measures of a regression.

    Args:
        y: values, shape (n,).
        values: predictions, shape (n,), in the label's unit.
        interval: its ends, shape (n, 2); None where there is none, which leaves its measures
            undefined.
        coverage: share of rows that the interval is to hold.
    """
    truth = np.asarray(y, dtype=np.float64)
    error = np.asarray(values, dtype=np.float64) - truth
    nowhere_zero = len(truth) > 0 and bool(np.all(truth != 0))
    share = np.abs(error / truth) if nowhere_zero else np.full(len(truth), np.nan)
    return {
        "rmse": Mean(error**2, root=True),
        "mae": Mean(np.abs(error)),
        "r2": lambda weights: _explained(weights, truth, error),
        "mape": Mean(share),
        **_of_interval(truth, interval, coverage),
    }


def _of_interval(
    truth: np.ndarray, interval: np.ndarray | None, coverage: float
) -> dict[str, Measure]:
    """How often an interval holds the truth, how wide it is, and the mean loss of its two ends.

    The pinball loss is least where each end is the quantile that it is said to be, so an interval
    that is right pays for being wide (R. Koenker and G. Bassett, "Regression quantiles",
    Econometrica 46, 1978).
    """
    if interval is None:
        nothing = ("interval_coverage", "interval_width", "pinball_loss")
        return dict.fromkeys(nothing, _undefined)
    low, high = interval[:, 0], interval[:, 1]
    tail = (1 - coverage) / 2
    below = np.where(truth < low, (1 - tail) * (low - truth), tail * (truth - low))
    above = np.where(truth > high, (1 - tail) * (truth - high), tail * (high - truth))
    return {
        "interval_coverage": Mean((low <= truth) & (truth <= high)),
        "interval_width": Mean(high - low),
        "pinball_loss": Mean((below + above) / 2),
    }


def equal_mass_bins(scores: np.ndarray, bins: int = CALIBRATION_BINS) -> np.ndarray:
    """Bin numbers, shape (n,), of bins with about equally many rows; ties stay together."""
    edges = np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]) if len(scores) else []
    return np.searchsorted(np.unique(edges), scores, side="right")


def area_under_roc(truth: np.ndarray, score: np.ndarray) -> Measure:
    """Area under the ROC curve by ranks (Mann and Whitney, 1947); ties count one half."""
    if not np.isfinite(score).all():
        return _undefined
    order, ends = _ranked(score)
    positive = truth[order]

    def measure(weights: np.ndarray) -> float:
        ranked = weights[order]
        positives = np.cumsum(ranked * positive)[ends]
        negatives = np.cumsum(ranked)[ends] - positives
        if not len(ends) or not positives[-1] > 0 or not negatives[-1] > 0:
            return float("nan")
        below = negatives - np.diff(negatives, prepend=0.0) / 2
        won = _total(np.diff(positives, prepend=0.0), below)
        return won / float(positives[-1] * negatives[-1])

    return measure


def _average_precision(truth: np.ndarray, score: np.ndarray) -> Measure:
    """Sum of precision times the step in recall, as scikit-learn defines it."""
    if not np.isfinite(score).all():
        return _undefined
    order, ends = _ranked(-score)
    positive = truth[order]

    def measure(weights: np.ndarray) -> float:
        ranked = weights[order]
        positives, taken = np.cumsum(ranked * positive)[ends], np.cumsum(ranked)[ends]
        if not len(ends) or not positives[-1] > 0:
            return float("nan")
        precision = positives / np.maximum(taken, SMALLEST)
        return _total(np.diff(positives, prepend=0.0), precision) / float(positives[-1])

    return measure


def _ranked(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of ascending scores, and the last position of each group of equal ones."""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    last = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.zeros(0, dtype=bool)
    return order, np.flatnonzero(last)


def _mean_area(codes: np.ndarray, probabilities: np.ndarray) -> Measure:
    """Mean over the classes of the area of one against the rest; undefined if one is missing."""
    areas = [
        area_under_roc((codes == code).astype(np.float64), probabilities[:, code])
        for code in range(probabilities.shape[1])
    ]
    return lambda weights: float(np.mean([area(weights) for area in areas]))


def _of_positives(truth: np.ndarray, said: np.ndarray) -> dict[str, Measure]:
    """Precision, recall and their harmonic mean, at the model's own threshold."""
    hit = (truth & said).astype(np.float64)
    real, told = truth.astype(np.float64), said.astype(np.float64)
    return {
        "precision": Mean(truth[said], said),
        "recall": Mean(said[truth], truth),
        "f1": lambda weights: _ratio(
            2 * _total(weights, hit), _total(weights, told) + _total(weights, real)
        ),
    }


def _macro_f1(y: np.ndarray, labels: np.ndarray, classes: int) -> Measure:
    """Mean F1 over the classes that occur among the true or the predicted labels."""
    known, hit = y >= 0, labels == y

    def measure(weights: np.ndarray) -> float:
        hits = np.bincount(labels[hit], weights[hit], classes)
        total = np.bincount(labels, weights, classes) + np.bincount(
            y[known], weights[known], classes
        )
        seen = total > 0
        return float(np.mean(2 * hits[seen] / total[seen])) if seen.any() else float("nan")

    return measure


def _calibration_error(truth: np.ndarray, score: np.ndarray, bins: np.ndarray) -> Measure:
    """Expected calibration error in bins of equal mass.

    The mean over the rows of |observed share - mean probability| of their bin (Naeini et al.,
    2015), with bins of equal mass for less bias (Nixon et al., Measuring Calibration in Deep
    Learning, 2019; Roelofs et al., Mitigating Bias in Calibration Error Estimation, 2022).
    """
    gap = truth - score

    def measure(weights: np.ndarray) -> float:
        return _ratio(float(np.abs(np.bincount(bins, weights * gap)).sum()), weights.sum())

    return measure


def _explained(weights: np.ndarray, truth: np.ndarray, error: np.ndarray) -> float:
    spread = truth - _ratio(_total(weights, truth), weights.sum())
    return 1 - _ratio(_total(weights, error**2), _total(weights, spread**2))


def _total(weights: np.ndarray, values: np.ndarray) -> float:
    """The weighted sum, without BLAS: its threads cost milliseconds where cores are shared."""
    return float((weights * values).sum())


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")


def _undefined(weights: np.ndarray) -> float:
    return float("nan")


def _on(rows: np.ndarray, measure: Measure) -> Measure:
    """The measure on some of the rows only."""
    if rows.all():
        return measure
    if isinstance(measure, Mean):
        return replace(measure, rows=rows)
    return lambda weights: measure(weights[rows])
