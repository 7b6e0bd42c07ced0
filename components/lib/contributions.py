"""Exact TreeSHAP contributions in terms of the raw columns, for the endpoint and the reports.

S. Lundberg et al., "From local explanations to global understanding with explainable AI for
trees", Nature Machine Intelligence 2, 2020; computed by XGBoost itself. Contributions are additive
in the margin, so those of a column's features are summed: with the base value, they give the
margin of the row. What an interaction of two columns adds counts half for each of them.
"""

from collections.abc import Callable

import numpy as np
import xgboost as xgb

from shipway.components.lib.features import FeaturePlan

Sums = Callable[[np.ndarray], np.ndarray]


def column_starts(plan: FeaturePlan) -> np.ndarray:
    """The first feature of each raw column."""
    widths = [len(column.outputs) for column in plan.columns]
    return np.cumsum([0, *widths[:-1]])


def column_sums(plan: FeaturePlan) -> Sums:
    """What adds up values of features by raw column.

    Returns:
        A function from float64 of shape (..., features) to float64 of shape (..., columns).
    """
    starts, width = column_starts(plan), sum(len(column.outputs) for column in plan.columns)
    places = {column.name: place for place, column in enumerate(plan.columns)}
    pairs = [[places[name] for name in one.columns] for one in plan.interactions]

    def sums(values: np.ndarray) -> np.ndarray:
        columns = np.add.reduceat(values[..., :width], starts, axis=-1)
        for feature, pair in enumerate(pairs, width):
            for place in pair:
                columns[..., place] += values[..., feature] / 2
        return np.asarray(columns)

    return sums


def feature_shares(booster: xgb.Booster, rows: np.ndarray, threads: int = 1) -> np.ndarray:
    """Contributions of the features and, last, the base value.

    Args:
        booster: the model.
        rows: float32 of shape (n, k).
        threads: that make the matrix.

    Returns:
        float32 of shape (n, k + 1), or (n, classes, k + 1).
    """
    return np.asarray(booster.predict(_matrix(booster, rows, threads), pred_contribs=True))


def by_column(shares: np.ndarray, sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Contributions of raw columns, and the base values.

    Args:
        shares: of the features, the base value last; shape (..., k + 1).
        sums: as `column_sums`.

    Returns:
        float64 of shape (..., columns), and of shape (...).
    """
    wide = shares.astype(np.float64)
    return sums(wide[..., :-1]), wide[..., -1]


def column_interactions(booster: xgb.Booster, rows: np.ndarray, sums: Sums) -> np.ndarray:
    """SHAP interaction values of pairs of raw columns.

    Args:
        booster: the model.
        rows: float32 of shape (n, k); the cost grows with n times k.
        sums: as `column_sums`.

    Returns:
        float64 of shape (n, columns, columns) or (n, classes, columns, columns), symmetric; what
        a pair does together stands half in each of its two cells.
    """
    found = np.asarray(booster.predict(_matrix(booster, rows, 0), pred_interactions=True))
    wide = found.astype(np.float64)[..., :-1, :-1]
    return np.asarray(sums(sums(wide).swapaxes(-1, -2)).swapaxes(-1, -2))


def _matrix(booster: xgb.Booster, rows: np.ndarray, threads: int) -> xgb.DMatrix:
    return xgb.DMatrix(
        rows,
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
        nthread=threads or None,
    )
