"""What is searched: ranges of XGBoost's parameters, as wide as a table's size makes sensible.

The learning rate is none of them: at one rate for all, losses of the same round compare, so that a
poor trial can be stopped early. The best are then trained at a third of it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import Trial

SMALL, LARGE = 5_000, 200_000
DIGITS = 4


@dataclass(frozen=True)
class Range:
    """From where to where a parameter is searched.

    Attributes:
        low: the smallest value.
        high: the largest value.
        log: whether equal ratios are equally likely, and not equal distances.
        whole: whether it is a whole number.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Space:
    """What is searched, and how fast trials learn.

    Attributes:
        ranges: by parameter.
        eta: learning rate of the trials.
        final_eta: learning rate of the candidates that are trained on all rows.
    """

    ranges: dict[str, Range]
    eta: float
    final_eta: float


def space_for(rows: int, scale: float, fixed: Mapping[str, Any], ranked: bool = False) -> Space:
    """The search space of a table.

    Args:
        rows: of training.
        scale: of the gradients: 1, or for a squared error the label's standard deviation.
        fixed: parameters that the user set; they are not searched.
        ranked: whether the task is a ranking, whose rows weigh little in a leaf.
    """
    small, large = rows < SMALL, rows >= LARGE
    ranges = {
        "max_depth": Range(1 if small else 3, 6 if small else 10 if large else 9, whole=True),
        "min_child_weight": Range(0.1 if small else 1.0, 10.0 if small else 100.0, log=True),
        "subsample": Range(0.5, 1.0),
        "colsample_bytree": Range(0.3, 1.0),
        "colsample_bynode": Range(0.3, 1.0),
        "reg_lambda": Range(0.01, 50.0, log=True),
        "reg_alpha": Range(_short(1e-3 * scale), _short(10.0 * scale), log=True),
    }
    if ranked:
        ranges["min_child_weight"] = Range(0.01, 10.0, log=True)
    eta = float(fixed.get("eta", 0.1 if small else 0.15))
    final = float(fixed.get("eta", eta / 3))
    return Space({n: r for n, r in ranges.items() if n not in fixed}, eta, round(final, DIGITS))


def draw(trial: Trial, space: Space) -> dict[str, float]:
    """The parameters of a trial, few of their digits: a report shows what was trained."""
    found: dict[str, float] = {}
    for name, one in space.ranges.items():
        if one.whole:
            found[name] = trial.suggest_int(name, int(one.low), int(one.high))
        else:
            found[name] = trial.suggest_float(name, one.low, one.high, log=one.log)
    return rounded(found, space)


def rounded(values: Mapping[str, float], space: Space) -> dict[str, float]:
    """What a trial is trained with, of what was suggested."""
    return {
        name: int(value) if space.ranges[name].whole else _short(value)
        for name, value in values.items()
    }


def _short(value: float) -> float:
    """Of few digits; where the ends of a range are, too, nothing is rounded out of it."""
    return float(f"{value:.{DIGITS}g}")
