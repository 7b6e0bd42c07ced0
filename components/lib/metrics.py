"""What a model is measured by: metrics of each task, with intervals.

Each metric is a function of row weights: weights of one give its value, Poisson weights give its
bootstrap distribution. So a value and its interval cannot come from two formulas. A mean over rows
has an interval of its own (`lib/means.py`), which holds the truth more surely. The tests hold the
formulas against scikit-learn, which is too slow for hundreds of rounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shipway.components.lib.delong import area_interval
from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.means import Mean, mean_difference, mean_interval
from shipway.components.lib.measures import Measure, binary, multiclass, regression
from shipway.components.lib.queries import relevance_of, units_of
from shipway.components.lib.ranks import ranking
from shipway.components.lib.task import TASKS, Target

if TYPE_CHECKING:
    from shipway.components.lib.scoring import Prediction

METRIC_NAMES = {task: kind.metrics for task, kind in TASKS.items()}
MAIN_METRIC = {task: kind.main_metric for task, kind in TASKS.items()}
_LOWER_IS_BETTER = (
    *("log_loss", "brier", "ece", "rmse", "mae", "mape"),
    *("interval_width", "pinball_loss"),
)
HIGHER_IS_BETTER: dict[str, bool] = {
    name: name not in _LOWER_IS_BETTER for names in METRIC_NAMES.values() for name in names
}
ROUNDS = 200
LEVEL = 0.95
MAX_WORK = 50_000_000


@dataclass(frozen=True)
class Interval:
    """A measured value with the ends of its interval."""

    value: float
    low: float
    high: float


def compute_metrics(
    target: Target, y_true: np.ndarray, prediction: "Prediction"
) -> dict[str, float]:
    """The metrics of a task; one that is undefined on these rows is absent, never NaN.

    Args:
        target: the task and its classes.
        y_true: shape (n,): values of a regression, else codes into the classes. A code of -1 is a
            class that training never saw: an error of accuracy, precision and macro F1, and left
            out where a probability of the true class is needed.
        prediction: of the same n rows.
    """
    ones = np.ones(len(y_true))
    values = {
        name: measure(ones) for name, measure in _measures(target, y_true, prediction).items()
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}


def bootstrap_intervals(
    target: Target,
    y: np.ndarray,
    prediction: "Prediction",
    names: Sequence[str] | None = None,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, tuple[float, float]]:
    """Intervals of metrics: means by Hall, shares by Wilson (`lib/means.py`), AUC by DeLong.

    All others are percentiles of the Poisson bootstrap over rows, or queries: Poisson(1) weights
    stand for drawing them with replacement (Chamandy et al., Estimating Uncertainty for Massive
    Data Streams, 2012). Such an interval is widened to hold the value itself: resampling adds
    noise, which only ever raises a calibration error.

    Args:
        target: the task and its classes.
        y: as `compute_metrics`.
        prediction: of the same rows.
        names: metrics to take; all of the task by default.
        rounds: of the bootstrap; fewer, but at least 50, on very large tables.
        seed: of the weights.
        level: share of the rounds within the interval.

    Returns:
        (low, high) by name; a metric that is undefined, here or in most rounds, is absent.

    Raises:
        ConfigurationError: a name is no metric of the task.
    """
    measures = _chosen(_measures(target, y, prediction), names or METRIC_NAMES[target.task])
    intervals = {}
    if measures.pop("auc", None) is not None:
        assert prediction.probabilities is not None
        known = y >= 0
        area = area_interval(y[known], prediction.probabilities[known, 1], level)
        if area is not None:
            intervals["auc"] = area[1:]
    for name, measure in list(measures.items()):
        if isinstance(measure, Mean):
            del measures[name]
            if (ends := mean_interval(measure, level)) is not None:
                intervals[name] = ends
    if not measures:
        return intervals
    draws = _resample(list(measures.values()), y, _rounds(target, y, rounds), seed)
    ones = np.ones(len(y))
    for name, values in zip(measures, draws.T, strict=True):
        found = _interval(measures[name](ones), values, level)
        if found is not None:
            intervals[name] = (found.low, found.high)
    return intervals


def paired_difference(
    target: Target,
    y: np.ndarray,
    candidate: "Prediction",
    other: "Prediction",
    name: str,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval | None:
    """How much better a candidate is than another model on the same rows, with its interval.

    Of means the difference is taken row by row; else both are measured under the same bootstrap
    weights. Either way what is hard for both cancels out.

    Returns:
        The improvement, positive where the candidate is better (a drop of an error is positive), or
        None where the metric is undefined.

    Raises:
        ConfigurationError: `name` is no metric of the task.
    """
    mine, theirs = (_chosen(_measures(target, y, each), [name]) for each in (candidate, other))
    return _differences([(name, mine[name], theirs[name])], target, y, rounds, seed, level)[0]


def paired_differences(
    target: Target,
    y: np.ndarray,
    candidate: "Prediction",
    others: Mapping[str, "Prediction"],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, dict[str, Interval]]:
    """As `paired_difference`, for every metric and several other models under the same weights.

    Returns:
        By other model and metric; what is undefined is absent.
    """
    mine = _measures(target, y, candidate)
    theirs = {model: _measures(target, y, each) for model, each in others.items()}
    keys = [(model, name) for model in others for name in METRIC_NAMES[target.task]]
    pairs = [(name, mine[name], theirs[model][name]) for model, name in keys]
    found: dict[str, dict[str, Interval]] = {}
    gains = _differences(pairs, target, y, rounds, seed, level)
    for (model, name), gain in zip(keys, gains, strict=True):
        if gain is not None:
            found.setdefault(model, {})[name] = gain
    return found


def _differences(
    pairs: Sequence[tuple[str, Measure, Measure]],
    target: Target,
    y: np.ndarray,
    rounds: int,
    seed: int,
    level: float,
) -> list[Interval | None]:
    """The improvement of the first measure of each pair over the second; None where undefined."""
    found = [_of_means(pair, level) for pair in pairs]
    rest = [place for place, gain in enumerate(found) if gain is None]
    resampled = list(dict.fromkeys(measure for place in rest for measure in pairs[place][1:]))
    draws = _resample(resampled, y, _rounds(target, y, rounds), seed) if rest else np.zeros(0)
    column = {measure: index for index, measure in enumerate(resampled)}
    ones = np.ones(len(y))
    for place in rest:
        name, one, other = pairs[place]
        sign = 1.0 if HIGHER_IS_BETTER[name] else -1.0
        gaps = draws[:, column[one]] - draws[:, column[other]]
        found[place] = _interval(sign * (one(ones) - other(ones)), sign * gaps, level)
    return found


def _of_means(pair: tuple[str, Measure, Measure], level: float) -> Interval | None:
    """The improvement where both measures are means of the same rows."""
    name, one, other = pair
    if not (isinstance(one, Mean) and isinstance(other, Mean)):
        return None
    first, second = (one, other) if HIGHER_IS_BETTER[name] else (other, one)
    gain = mean_difference(first, second, level)
    return None if gain is None else Interval(*gain)


def constant_prediction(target: Target, y: np.ndarray) -> "Prediction":
    """The best prediction that looks at no column: the baseline of every model.

    It knows the mean, or the shares of the classes, of these very rows: no constant does better.
    One value for all rows of a ranking stands for a random order of them.

    Args:
        target: the task and its classes.
        y: as `compute_metrics`.
    """
    from shipway.components.lib.scoring import Prediction

    if target.kind.numeric:
        mean = float(np.mean(relevance_of(y), dtype=np.float64)) if len(y) else 0.0
        return Prediction(probabilities=None, labels=None, values=np.full(len(y), mean))
    counts = np.bincount(y[y >= 0], minlength=len(target.classes)).astype(np.float64)
    shares = counts / max(1.0, counts.sum())
    labels = np.full(len(y), int(np.argmax(counts)), dtype=np.int32)
    return Prediction(probabilities=np.tile(shares, (len(y), 1)), labels=labels, values=None)


def _chosen(measures: dict[str, Measure], names: Sequence[str]) -> dict[str, Measure]:
    for name in names:
        if name not in measures:
            raise ConfigurationError(
                f"'{name}' is no metric of this task; it has {', '.join(measures)}."
                f"{nearest(name, measures)}"
            )
    return {name: measures[name] for name in names}


def _rounds(target: Target, y: np.ndarray, rounds: int) -> int:
    """Fewer rounds where the rows are so many that intervals are narrow and rounds are slow."""
    columns = len(target.classes) if target.task == "multiclass" else 1
    return min(rounds, max(50, MAX_WORK // max(1, len(y) * columns)))


def _resample(measures: Sequence[Measure], y: np.ndarray, rounds: int, seed: int) -> np.ndarray:
    """Values under Poisson weights of rows, or of the queries of a ranking; NaN where undefined.

    Returns:
        Shape (rounds, measures).
    """
    generator = np.random.default_rng(seed)
    units, places = units_of(y)
    draws = np.full((rounds, len(measures)), np.nan)
    for index in range(rounds):
        weights = generator.poisson(1.0, units).astype(np.float64)
        weights = weights if places is None else weights[places]
        if weights.any():
            draws[index] = [measure(weights) for measure in measures]
    return draws


def _interval(value: float, draws: np.ndarray, level: float) -> Interval | None:
    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(known) * 2 < len(draws) or not len(known):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), min(float(low), float(value)), max(float(high), float(value)))


def _measures(target: Target, y: np.ndarray, prediction: "Prediction") -> dict[str, Measure]:
    if target.ranked:
        assert prediction.values is not None
        return ranking(y, prediction.values)
    if target.task == "regression":
        assert prediction.values is not None
        return regression(y, prediction.values, prediction.interval, prediction.coverage)
    assert prediction.probabilities is not None and prediction.labels is not None
    of_task = binary if target.task == "binary" else multiclass
    return of_task(y, prediction.probabilities, prediction.labels)
