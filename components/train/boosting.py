"""Boosting: weighted matrices, early stopping, and the best round."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.constraints import safe_names
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.objectives import check_labels
from shipway.components.lib.parameters import Settings
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.weights import row_weights
from shipway.components.train.matrices import training_matrix


def boost(
    plan: FeaturePlan,
    rows: StoredTable,
    held_out: StoredTable,
    matrix: np.ndarray,
    settings: Settings,
) -> tuple[xgb.Booster, dict[str, list[float]]]:
    """Train until the validation loss stops falling.

    Args:
        plan: fitted on the training rows.
        rows: of training, raw.
        held_out: of validation, raw.
        matrix: the model's rows of validation, float32 of shape (n, k).
        settings: parameters, rounds and patience.

    Returns:
        The booster cut at its best round, and the losses of training and validation by round.

    Raises:
        DataError: labels or weights do not fit.
    """
    safe = safe_names(plan)
    bins = settings.booster["max_bin"]
    y, held_y = (plan.target.encode(table.column(plan.label)) for table in (rows, held_out))
    check_labels(settings.booster["objective"], plan.label, y)
    check_labels(settings.booster["objective"], plan.label, held_y)
    weights, held_weights = (
        row_weights(plan, table, labels, settings.balance)
        for table, labels in ((rows, y), (held_out, held_y))
    )
    with training_matrix(
        lambda out: plan.transform_training(rows, out),
        (rows.num_rows, len(safe)),
        y,
        weights,
        safe,
        bins,
        settings.external,
    ) as training:
        validation = xgb.QuantileDMatrix(
            matrix, held_y, weight=held_weights, feature_names=safe, ref=training, max_bin=bins
        )
        best, losses = learn(settings.booster, training, validation, settings)
        del training, validation  # before the files that they stand in
    return best, losses


def learn(
    parameters: Mapping[str, Any],
    training: xgb.QuantileDMatrix,
    validation: xgb.QuantileDMatrix,
    settings: Settings,
) -> tuple[xgb.Booster, dict[str, list[float]]]:
    """Train on one matrix until the loss on another stops falling.

    Args:
        parameters: XGBoost's.
        training: rows that make the trees.
        validation: rows that tell when to stop.
        settings: rounds and patience.

    Returns:
        The booster cut at its best round, and the losses of training and validation by round.
    """
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgb.train(
        dict(parameters),
        training,
        settings.rounds,
        evals=[(training, "training"), (validation, "validation")],
        early_stopping_rounds=settings.patience,
        evals_result=history,
        verbose_eval=False,
    )
    # Prediction uses every tree, whatever `best_iteration` says: so cut them off.
    best = booster[: booster.best_iteration + 1]
    best.set_attr(best_iteration=None, best_score=None)
    best.set_param({"device": "cpu"})  # calibration, golden rows and serving score there
    return best, {name: next(iter(values.values())) for name, values in history.items()}
