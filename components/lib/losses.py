"""The loss of each row under XGBoost's objectives: what a difference of two models is tested on."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from shipway.components.lib.ranks import query_losses

RANKING = "rank:ndcg"


def row_losses(booster: Mapping[str, Any], margins: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What `eval_metric` averages, of each row; of a squared error before the root is taken.

    Of a ranking it is 1 minus the NDCG of each query.

    Args:
        booster: XGBoost's parameters.
        margins: shape (n,), or (n, c) for c classes or quantiles.
        y: labels, shape (n,).

    Returns:
        float64 of shape (n,), or of as many as there are queries, in the order of their codes.
    """
    if booster["objective"] == RANKING:
        return query_losses(y, margins)
    return np.asarray(_losses(booster, margins.astype(np.float64), y.astype(np.float64)))


def _losses(booster: Mapping[str, Any], margins: np.ndarray, y: np.ndarray) -> Any:
    objective = booster["objective"]
    if objective == "binary:logistic":
        return np.logaddexp(0.0, margins) - y * margins
    if objective == "multi:softprob":
        top = margins.max(axis=1)
        total = top + np.log(np.exp(margins - top[:, None]).sum(axis=1))
        return total - margins[np.arange(len(y)), y.astype(np.int64)]
    if objective == "reg:quantileerror":
        levels = np.asarray(booster["quantile_alpha"])
        error = y[:, None] - margins.reshape(len(y), -1)
        return np.maximum(levels * error, (levels - 1) * error).mean(axis=1)
    if objective == "reg:absoluteerror":
        return np.abs(y - margins)
    if objective == "count:poisson":
        return np.exp(margins) - y * margins
    if objective == "reg:gamma":
        return y * np.exp(-margins) + margins
    if objective == "reg:tweedie":
        power = booster["tweedie_variance_power"]
        first, second = 1 - power, 2 - power
        return np.exp(second * margins) / second - y * np.exp(first * margins) / first
    return (y - margins) ** 2


def mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    """The weighted mean of row losses."""
    return float(np.average(values, weights=weights))


def mean_error(
    values: np.ndarray, weights: np.ndarray | None, blocks: np.ndarray | None = None
) -> float:
    """The standard error of the weighted mean.

    Args:
        values: shape (n,).
        weights: shape (n,), or None.
        blocks: number of the block that each value is of, shape (n,): those of one block may depend
            on each other, and count as one (the cluster-robust error). None where none do.
    """
    shares = np.ones(len(values)) if weights is None else weights
    spread: np.ndarray = shares * (values - mean(values, weights))
    if blocks is not None:
        spread = np.bincount(blocks, spread)
    count = len(spread)
    if count < 2:
        return 0.0
    return float(np.sqrt(count / (count - 1) * (spread**2).sum()) / shares.sum())


def shown(booster: Mapping[str, Any], loss: float) -> float:
    """A mean loss as `eval_metric` gives it."""
    if booster["objective"] == RANKING:
        return 1 - loss
    return float(np.sqrt(loss)) if booster["objective"] == "reg:squarederror" else loss


def as_loss(booster: Mapping[str, Any], value: float) -> float:
    """A value of `eval_metric` as what is minimised: of NDCG more is better."""
    return 1 - value if booster["objective"] == RANKING else value
