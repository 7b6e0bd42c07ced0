"""A bag of boosters, each stopped by rows of its own that it was not trained on, merged into one.

The validation split is seen by none of them, so that calibration, threshold and intervals are
chosen on rows that are new to the whole bag. Only where rows are ordered in time it stops the last
member, as it stops a model that is alone. L. Breiman, "Bagging predictors", Machine Learning
24(2), 1996, here over folds.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import xgboost as xgb

from shipway.components.lib.constraints import safe_names
from shipway.components.lib.errors import DataError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.folds import SMALL, drawn_folds, folds_in_time
from shipway.components.lib.objectives import check_labels
from shipway.components.lib.parameters import Settings
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.weights import row_weights
from shipway.components.train.boosting import learn
from shipway.components.train.checkpoint import Checkpoints
from shipway.components.train.matrices import matrices, room, rows_for_cuts, stands_on_disk
from shipway.components.train.merging import merged

FOLDS, FOLDS_OF_SMALL = 5, 10
_log = logging.getLogger(__name__)

Rounds = dict[str, list[float]]
Trained = tuple[xgb.Booster, Rounds]


@dataclass(frozen=True)
class _Rows:
    """Rows as the model sees them.

    Attributes:
        matrix: float32 of shape (n, k).
        y: labels, shape (n,).
        weights: shape (n,), or None.
    """

    matrix: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None

    def take(self, rows: np.ndarray) -> "_Rows":
        weights = None if self.weights is None else self.weights[rows]
        return _Rows(self.matrix[rows], self.y[rows], weights)


def bag(
    plan: FeaturePlan,
    rows: StoredTable,
    held_out: StoredTable,
    matrix: np.ndarray,
    settings: Settings,
    time_column: str,
    kept: Checkpoints,
) -> Trained:
    """Train a booster for each fold of the training rows, and merge them.

    Args:
        plan: fitted on the training rows.
        rows: of training, raw.
        held_out: of validation, raw.
        matrix: the model's rows of validation, float32 of shape (n, k).
        settings: parameters, rounds and patience.
        time_column: orders rows in time; empty where order does not matter.
        kept: checkpoints of the members, to go on from and to write.

    Returns:
        The merged booster, and the loss by round of the rows that each member was stopped by.

    Raises:
        DataError: labels or weights do not fit, the label varies in no fold, or the time column is
            not there.
    """
    members: list[xgb.Booster] = []
    curves: Rounds = {}
    shape = rows.num_rows, len(plan.feature_names)
    space = room(shape, stands_on_disk(settings.external, shape))
    known = _rows(plan, rows, plan.transform_training(rows, space), settings)
    given = _rows(plan, held_out, matrix, settings)
    for inside, outside in _folds(plan, rows, held_out, time_column, settings):
        if np.ptp(known.y[inside]) == 0:
            # A member that is certain of one answer would draw all others to it.
            _log.warning("a fold is left out: its label does not vary")
            continue
        judge = given if outside is None else known.take(outside)
        member, losses = _kept(
            kept, len(members), partial(_member, plan, known, inside, judge, settings)
        )
        members.append(member)
        name = "validation" if outside is None else f"held out, fold {len(members)}"
        curves[name] = losses["validation"]
        _log.info("fold %d: %d rounds", len(members), member.num_boosted_rounds())
    if not members:
        raise DataError(
            f"The label '{plan.label}' varies in no fold of the training rows, so that there is no "
            "bag of them. Use quality='standard', or bring rows of more groups."
        )
    return merged(members), curves


def _rows(plan: FeaturePlan, table: StoredTable, matrix: np.ndarray, settings: Settings) -> _Rows:
    y = plan.target.encode(table.column(plan.label))
    check_labels(settings.booster["objective"], plan.label, y)
    return _Rows(matrix, y, row_weights(plan, table, y, settings.balance))


def _kept(kept: Checkpoints, number: int, make: Callable[[int, Checkpoints], Trained]) -> Trained:
    """A member, unless an earlier try of this step has made it."""
    own = kept.member(number)
    state = own.latest()
    if state is not None and state.finished:
        return state.booster, state.curves
    member, losses = make(number, own)
    kept.resumed_at = kept.resumed_at or own.resumed_at
    own.save(member, losses)
    return member, losses


def _member(
    plan: FeaturePlan,
    known: _Rows,
    inside: np.ndarray,
    judge: _Rows,
    settings: Settings,
    number: int,
    kept: Checkpoints,
) -> Trained:
    """A booster of some rows, and the losses by round."""
    on_disk = isinstance(known.matrix, np.memmap)
    with matrices(safe_names(plan), settings.booster["max_bin"], on_disk) as make:
        training = make.training(
            lambda out: np.take(known.matrix, inside, axis=0, out=out),
            known.y[inside],
            None if known.weights is None else known.weights[inside],
            rows_for_cuts(len(inside)),
        )
        held = make.held_out(judge.matrix, judge.y, judge.weights, training)
        seed = settings.booster["seed"] + number
        member, losses = learn(settings.booster | {"seed": seed}, training, held, settings, kept)
        del training, held  # before the files that they stand in
    return make.finished(member), losses


def _folds(
    plan: FeaturePlan,
    rows: StoredTable,
    held_out: StoredTable,
    time_column: str,
    settings: Settings,
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Rows that each member is trained on, and rows that stop it; None for the validation rows."""
    in_time = folds_in_time(rows, held_out, time_column)
    if in_time is not None:
        yield from in_time
        # Without the newest rows, no member would know what the next ones are most like.
        yield np.arange(rows.num_rows), None
        return
    small = rows.num_rows + held_out.num_rows < SMALL
    count = FOLDS_OF_SMALL if small else FOLDS
    for held in drawn_folds(plan, rows, count, settings.booster["seed"]):
        yield np.flatnonzero(~held), np.flatnonzero(held)
