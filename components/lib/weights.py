"""How much each row counts in training."""

import numpy as np

from shipway.components.lib.columns import numbers
from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.kinds import is_number
from shipway.components.lib.transform import Rows


def row_weights(plan: FeaturePlan, rows: Rows, y: np.ndarray, balance: bool) -> np.ndarray | None:
    """Weights of rows: of the plan's weight column, times the inverse share of each row's class.

    Raises:
        DataError: a weight is missing, negative or no number, or all are zero.
    """
    weights = None
    if name := plan.weight_column:
        if name not in rows.column_names:
            raise DataError(
                f"The weight column '{name}' is not there.{nearest(name, rows.column_names)} Bring "
                "it, or leave weight_column empty."
            )
        if not is_number(kind := rows.schema.field(name).type):
            raise DataError(
                f"The weight column '{name}' holds {kind}, and weights are numbers. Convert it, or "
                "leave weight_column empty."
            )
        weights = numbers(rows.column(name))  # NaN where one is missing or infinite
        wrong = ~(weights >= 0)
        if wrong.any():
            raise DataError(
                f"The weight column '{name}' must hold finite numbers of 0 or more; "
                f"{int(wrong.sum()):,} of {len(weights):,} rows do not. Correct them."
            )
        if not weights.any():
            raise DataError(
                f"The weight column '{name}' is 0 in all of {len(weights):,} rows, so that none "
                "counts. Bring rows of a weight above 0, or leave weight_column empty."
            )
    if balance and plan.target.classes:
        counts = np.bincount(y, weights=weights, minlength=len(plan.target.classes))
        shares = counts.sum() / (len(counts) * np.maximum(counts, 1e-12))
        balanced = shares[y]
        weights = balanced if weights is None else weights * balanced
    return weights
