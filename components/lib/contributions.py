"""Exact TreeSHAP contributions in terms of the raw columns, for the endpoint and the reports.

S. Lundberg et al., "From local explanations to global understanding with explainable AI for
trees", Nature Machine Intelligence 2, 2020; computed by XGBoost itself. Contributions are additive
in the margin, so those of a column's features are summed: with the base value, they give the
margin of the row.
"""

import numpy as np
import xgboost as xgb

from shipway.components.lib.features import FeaturePlan


def column_starts(plan: FeaturePlan) -> np.ndarray:
    """The first feature of each raw column."""
    widths = [len(column.outputs) for column in plan.columns]
    return np.cumsum([0, *widths[:-1]])


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


def by_column(shares: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Contributions of raw columns, and the base values.

    Args:
        shares: of the features, the base value last; shape (..., k + 1).
        starts: as `column_starts`.

    Returns:
        float64 of shape (..., columns), and of shape (...).
    """
    wide = shares.astype(np.float64)
    return np.add.reduceat(wide[..., :-1], starts, axis=-1), wide[..., -1]


def column_interactions(booster: xgb.Booster, rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """SHAP interaction values of pairs of raw columns.

    Args:
        booster: the model.
        rows: float32 of shape (n, k); the cost grows with n times k.
        starts: as `column_starts`.

    Returns:
        float64 of shape (n, columns, columns) or (n, classes, columns, columns), symmetric; what
        a pair does together stands half in each of its two cells.
    """
    found = np.asarray(booster.predict(_matrix(booster, rows, 0), pred_interactions=True))
    wide = found.astype(np.float64)[..., :-1, :-1]
    return np.add.reduceat(np.add.reduceat(wide, starts, axis=-1), starts, axis=-2)


def _matrix(booster: xgb.Booster, rows: np.ndarray, threads: int) -> xgb.DMatrix:
    return xgb.DMatrix(
        rows,
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
        nthread=threads or None,
    )
