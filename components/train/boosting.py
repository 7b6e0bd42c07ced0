"""Boosting: weighted matrices, early stopping, and the best round."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.constraints import safe_names
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.objectives import check_labels
from shipway.components.lib.parameters import Settings, few_threads
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.weights import row_weights
from shipway.components.train.checkpoint import Checkpoints, Recorder, joined, stopping_after
from shipway.components.train.matrices import matrices, rows_for_cuts, stands_on_disk


@dataclass(frozen=True)
class Share:
    """Which rows are a worker's own: those of one process are all.

    Attributes:
        rank: of the worker, from 0.
        count: workers in all.
    """

    rank: int = 0
    count: int = 1

    def of(self, rows: int) -> slice:
        """The worker's rows of so many; each has as many as the others, but for one."""
        return slice(self.rank * rows // self.count, (self.rank + 1) * rows // self.count)


def boost(
    plan: FeaturePlan,
    rows: StoredTable,
    held_out: StoredTable,
    matrix: np.ndarray,
    settings: Settings,
    kept: Checkpoints | None = None,
    share: Share = Share(),
) -> tuple[xgb.Booster, dict[str, list[float]]]:
    """Train until the validation loss stops falling.

    Labels, weights and statistics of the target are those of all rows, whatever the share.

    Args:
        plan: fitted on the training rows.
        rows: of training, raw.
        held_out: of validation, raw.
        matrix: the model's rows of validation, float32 of shape (n, k).
        settings: parameters, rounds and patience.
        kept: checkpoints to go on from and to write.
        share: which rows are trained on here, where several workers train together.

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
    mine, held = share.of(rows.num_rows), share.of(held_out.num_rows)
    if share.count > 1:
        y, held_y, matrix = y[mine], held_y[held], matrix[held]
        weights = None if weights is None else weights[mine]
        held_weights = None if held_weights is None else held_weights[held]
    on_disk = stands_on_disk(settings.external, (len(y), len(safe)))
    cut_rows = rows_for_cuts(rows.num_rows)  # the same of each worker: they agree on the cuts
    with matrices(safe, bins, on_disk) as make:
        training = make.training(
            lambda out: plan.transform_training(rows, out, mine), y, weights, cut_rows
        )
        validation = make.held_out(matrix, held_y, held_weights, training)
        del y, weights  # the matrix holds its own
        best, losses = learn(settings.booster, training, validation, settings, kept)
        del training, validation  # before the files that they stand in
    return make.finished(best), losses


def learn(
    parameters: Mapping[str, Any],
    training: xgb.QuantileDMatrix,
    validation: xgb.QuantileDMatrix,
    settings: Settings,
    kept: Checkpoints | None = None,
) -> tuple[xgb.Booster, dict[str, list[float]]]:
    """Train on one matrix until the loss on another stops falling.

    Args:
        parameters: XGBoost's.
        training: rows that make the trees.
        validation: rows that tell when to stop.
        settings: rounds and patience.
        kept: checkpoints to go on from and to write.

    Returns:
        The booster cut at its best round, and the losses of training and validation by round.
    """
    history: dict[str, dict[str, list[float]]] = {}
    begun = kept.latest() if kept is not None else None
    before = begun.curves if begun is not None else {}
    callbacks = [stopping_after(settings.patience, begun)]
    booster = xgb.train(
        few_threads(training.num_row()) | dict(parameters),
        training,
        settings.rounds - (begun.booster.num_boosted_rounds() if begun is not None else 0),
        evals=[(training, "training"), (validation, "validation")],
        xgb_model=begun.booster if begun is not None else None,
        callbacks=callbacks if kept is None else [*callbacks, Recorder(kept, before)],
        evals_result=history,
        verbose_eval=False,
    )
    # Prediction uses every tree, whatever `best_iteration` says: so cut them off.
    best = booster[: booster.best_iteration + 1]
    best.set_attr(best_iteration=None, best_score=None)
    best.set_param({"device": "cpu"})  # calibration, golden rows and serving score there
    return best, joined(before, history)
