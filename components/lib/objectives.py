"""What training minimises: the loss of a task, or the one that a user names for a regression."""

from typing import Any

import numpy as np

from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.response import Response
from shipway.components.lib.task import Target

COVERAGE = 0.9
VARIANCE_POWER = 1.5
# XGBoost's objective, its metric, the link, and which labels it takes.
REGRESSION: dict[str, tuple[str, str, str, str]] = {
    "squared": ("reg:squarederror", "rmse", "identity", ""),
    "absolute": ("reg:absoluteerror", "mae", "identity", ""),
    "quantile": ("reg:quantileerror", "quantile", "identity", ""),
    "poisson": ("count:poisson", "poisson-nloglik", "log", "0 or more"),
    "tweedie": ("reg:tweedie", "tweedie-nloglik", "log", "0 or more"),
    "gamma": ("reg:gamma", "gamma-nloglik", "log", "above 0"),
}

# Objectives whose base score is stored as a probability or a value, and not as a margin.
LOGIT = frozenset({"binary:logistic", "reg:logistic"})
LOG = frozenset({"count:poisson", "reg:gamma", "reg:tweedie"})


def to_margin(objective: str, score: np.ndarray) -> np.ndarray:
    """The margin that leaves are added to, of a base score as XGBoost stores it."""
    if objective not in LOGIT | LOG:
        return score
    one = score.dtype.type(1)
    sign, odds = (-1, one / score - one) if objective in LOGIT else (1, score)
    # In float64 and rounded once, as the C library does: NumPy's own for float32 is less exact.
    return np.asarray(sign * np.log(odds, dtype=np.float64)).astype(score.dtype)


def from_margin(objective: str, margin: np.ndarray) -> np.ndarray:
    """The inverse of `to_margin`."""
    if objective in LOGIT:
        return np.asarray(1 / (1 + np.exp(-margin)))
    return np.asarray(np.exp(margin)) if objective in LOG else margin


def objective_of(
    target: Target, name: str, coverage: float, variance_power: float
) -> tuple[dict[str, Any], Response]:
    """XGBoost's parameters of an objective, and what its margins mean.

    Args:
        target: the task.
        name: auto, or of a regression squared, absolute, quantile, poisson, tweedie or gamma.
        coverage: of the intervals of "quantile", between 0 and 1.
        variance_power: of "tweedie", between 1 and 2.

    Raises:
        ConfigurationError: the objective is unknown or of another task, or a number out of range.
    """
    names = ("auto", *REGRESSION)
    if name not in names:
        raise ConfigurationError(
            f"objective='{name}' is unknown: it is {', '.join(names)}.{nearest(name, names)}"
        )
    if target.task == "regression":
        return _of_regression("squared" if name == "auto" else name, coverage, variance_power)
    kind = target.kind
    found: dict[str, Any] = {"objective": kind.objective, "eval_metric": kind.loss}
    if target.task == "multiclass":
        found["num_class"] = len(target.classes)
    if name != "auto":
        raise ConfigurationError(
            f"objective='{name}' is for a regression; this task is {target.task}. Leave it 'auto', "
            "or set task='regression' where the label is a number."
        )
    return found, Response()


def _of_regression(
    name: str, coverage: float, variance_power: float
) -> tuple[dict[str, Any], Response]:
    objective, metric, link, _ = REGRESSION[name]
    found: dict[str, Any] = {"objective": objective, "eval_metric": metric}
    response = Response(link)
    if name == "quantile":
        if not 0 < coverage < 1:
            raise ConfigurationError(
                f"training_parameters: 'interval_coverage' must lie between 0 and 1, not "
                f"{coverage:g}."
            )
        response = Response(link, coverage)
        found["quantile_alpha"] = response.levels
    if name == "tweedie":
        if not 1 < variance_power < 2:
            raise ConfigurationError(
                f"training_parameters: 'tweedie_variance_power' must lie between 1 and 2, not "
                f"{variance_power:g}."
            )
        found["tweedie_variance_power"] = variance_power
        found["eval_metric"] = f"{metric}@{variance_power:g}"
    return found, response


def check_labels(objective: str, label: str, y: np.ndarray) -> None:
    """Refuse labels that an objective cannot take.

    Args:
        objective: XGBoost's name of it.
        label: the column.
        y: its values, shape (n,).

    Raises:
        DataError: a label is out of range.
    """
    bounds = {known: bound for known, _, _, bound in REGRESSION.values()}
    bound = bounds.get(objective, "")
    wrong = (y <= 0 if bound == "above 0" else y < 0) if bound else np.zeros(0, dtype=bool)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"The label '{label}' must be {bound} for the objective '{objective}', but is "
            f"{y[first]:g} in {int(wrong.sum()):,} of {len(y):,} rows (first: row {first + 1:,}). "
            "Choose another objective, or leave those rows out."
        )
