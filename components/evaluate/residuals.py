"""Where a model errs to one side: the mean of truth minus prediction by tenth and by column."""

import math
from collections.abc import Container
from statistics import NormalDist
from typing import Any

import numpy as np

from shipway.components.evaluate.range_words import range_words
from shipway.components.lib.encoders import ColumnPlan
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.measures import equal_mass_bins
from shipway.components.lib.private import PRIVATE

BINS = 5
SHOWN = 12
MIN_ROWS = 30
MAX_FEATURES = 100


def said_and_came(held: HeldOut) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What was predicted and what came, as numbers, of the rows where both are known.

    Binary: the probability of the positive class, and 1 or 0; multiclass: the probability of the
    predicted class, and whether it was right; regression: the values; ranking: nothing, as its
    scores are no amount of anything.

    Returns:
        Prediction and truth of the known rows, and the mask of those rows.
    """
    if held.target.ranked:
        return np.zeros(0), np.zeros(0), np.zeros(len(held.y), dtype=bool)
    if held.target.task == "regression":
        said, came = np.asarray(held.prediction.values, dtype=np.float64), held.y.astype(np.float64)
        known = np.isfinite(said)
        return said[known], came[known], known
    assert held.prediction.probabilities is not None
    if held.target.task == "binary":
        said, came = held.prediction.probabilities[:, 1], (held.y == 1).astype(np.float64)
    else:
        said = held.prediction.probabilities.max(axis=1)
        came = (held.prediction.probabilities.argmax(axis=1) == held.y).astype(np.float64)
    known = (held.y >= 0) & np.isfinite(said)
    return said[known], came[known], known


def residual_views(
    plan: FeaturePlan, matrix: np.ndarray, held: HeldOut, private: Container[str] = ()
) -> dict[str, Any]:
    """Residuals by tenth of the prediction, and the features' ranges with the largest bias.

    The bound of a range counts all ranges that were looked at (Bonferroni), so that one beyond it
    is no chance find.

    Args:
        plan: the model's plan.
        matrix: features of the test rows.
        held: the same rows, scored.
        private: raw columns whose ranges are numbered and not told.
    """
    said, came, known = said_and_came(held)
    residuals = came - said
    if len(residuals) < MIN_ROWS:
        return {"by_prediction": [], "by_feature": [], "looked_at": 0}
    tenths = equal_mass_bins(said)
    parts = [tenths == number for number in np.unique(tenths)]
    by_prediction = [
        _bias(residuals[rows], 1.96) | {"predicted": float(said[rows].mean())} for rows in parts
    ]
    views = _by_feature(plan, matrix[known], residuals, private)
    bound = NormalDist().inv_cdf(1 - 0.025 / max(1, len(views)))
    for view in views:
        view["beyond_chance"] = abs(view["z"]) > bound
    views.sort(key=lambda view: -abs(view["z"]))
    return {"by_prediction": by_prediction, "by_feature": views[:SHOWN], "looked_at": len(views)}


def _by_feature(
    plan: FeaturePlan, matrix: np.ndarray, residuals: np.ndarray, private: Container[str]
) -> list[dict[str, Any]]:
    views = []
    hidden = [column.name in private for column in plan.columns for _ in column.outputs]
    hidden += [any(name in private for name in one.columns) for one in plan.interactions]
    made_of: list[tuple[ColumnPlan | None, int]]
    made_of = [(column, place) for column in plan.columns for place in range(len(column.outputs))]
    made_of += [(None, 0)] * len(plan.interactions)
    for index, name in enumerate(plan.feature_names[:MAX_FEATURES]):
        values = matrix[:, index].astype(np.float64)
        finite = np.isfinite(values)
        place = np.full(len(values), -1)
        place[finite] = equal_mass_bins(values[finite], BINS)
        for number in np.unique(place):
            rows = place == number
            if MIN_ROWS <= rows.sum() < len(rows):
                ends = f"{PRIVATE} ({number + 1})"
                if not hidden[index] and number >= 0:
                    ends = range_words(*made_of[index], values[rows].min(), values[rows].max())
                ends = "missing" if number < 0 else ends
                views.append({"feature": name, "range": ends} | _bias(residuals[rows], 1.96))
    return views


def _bias(residuals: np.ndarray, z: float) -> dict[str, float]:
    mean = float(residuals.mean())
    spread = float(residuals.std(ddof=1)) if len(residuals) > 1 else math.inf
    error = spread / math.sqrt(len(residuals))
    certain = math.isfinite(error) and error > 0
    return {
        "n": float(len(residuals)),
        "bias": mean,
        "low": mean - z * error if certain else mean,
        "high": mean + z * error if certain else mean,
        "absolute": float(np.abs(residuals).mean()),
        "z": mean / error if certain else 0.0,
    }
