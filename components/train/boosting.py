"""Boosting: matrices with weights, constraints by column, the device, and the best round."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb

from shipway.components.lib.columns import numbers
from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.kinds import is_number
from shipway.components.train.objectives import check_labels
from shipway.components.train.parameters import Settings

DEVICES = ("cpu", "cuda", "auto")
ORDERED = ("number", "text_number", "boolean")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Constraints:
    """What the trees may not do.

    Attributes:
        monotone: 1 (may only rise with the column) or -1 (only fall), by raw column.
        interaction: groups of raw columns; a path of a tree stays within one of them.
    """

    monotone: Mapping[str, float] = field(default_factory=dict)
    interaction: Sequence[Sequence[str]] = field(default_factory=list)


def safe_names(plan: FeaturePlan) -> list[str]:
    """Names of the features for XGBoost, which refuses some signs; the plan keeps the true ones."""
    return [f"f{index}" for index in range(len(plan.feature_names))]


def constraint_parameters(plan: FeaturePlan, constraints: Constraints) -> dict[str, Any]:
    """XGBoost's parameters of constraints that are given by raw column.

    Raises:
        ConfigurationError: a column is not used, or has no order that could be held to.
    """
    found: dict[str, Any] = {}
    columns = {column.name: column for column in plan.columns}
    for name in [
        *constraints.monotone,
        *(one for group in constraints.interaction for one in group),
    ]:
        if name not in columns:
            raise ConfigurationError(
                f"A constraint names '{name}', which is no column that the model uses."
                f"{nearest(name, list(columns))}"
            )
    if constraints.monotone:
        signs = []
        for column in plan.columns:
            sign = constraints.monotone.get(column.name, 0)
            if sign not in (-1, 0, 1):
                raise ConfigurationError(
                    f"monotone_constraints: '{column.name}' must be 1 or -1, not {sign:g}."
                )
            if sign and column.kind not in ORDERED:
                raise ConfigurationError(
                    f"monotone_constraints names '{column.name}', which is used as {column.kind}: "
                    "only numbers can be held to an order."
                )
            signs += [int(sign)] * len(column.outputs)
        found["monotone_constraints"] = tuple(signs)
    if constraints.interaction:
        names = iter(safe_names(plan))
        features = {
            column.name: list(islice(names, len(column.outputs))) for column in plan.columns
        }
        found["interaction_constraints"] = [
            [feature for name in group for feature in features[name]]
            for group in constraints.interaction
        ]
    return found


def row_weights(
    plan: FeaturePlan, rows: pa.Table, y: np.ndarray, balance: bool
) -> np.ndarray | None:
    """Weights of rows: of the plan's weight column, times the inverse share of each row's class.

    Raises:
        DataError: a weight is missing, negative or no number, or all are zero.
    """
    weights = None
    if name := plan.weight_column:
        if name not in rows.column_names or not is_number(rows.schema.field(name).type):
            raise DataError(f"The weight column '{name}' is not there, or holds no numbers.")
        weights = numbers(rows.column(name))
        wrong = ~(weights >= 0) | np.isinf(weights)
        if wrong.any() or not weights.any():
            raise DataError(
                f"The weight column '{name}' must hold finite numbers of 0 or more, and one above "
                f"0; {int(wrong.sum()):,} of {len(weights):,} rows do not. Correct them."
            )
    if balance and plan.target.classes:
        counts = np.bincount(y, weights=weights, minlength=len(plan.target.classes))
        shares = counts.sum() / (len(counts) * np.maximum(counts, 1e-12))
        balanced = shares[y]
        weights = balanced if weights is None else weights * balanced
    return weights


def chosen_device(asked: str) -> tuple[str, str]:
    """The device that trains, and why it is not the one that was asked for.

    Raises:
        ConfigurationError: the device is unknown.
    """
    if asked not in DEVICES:
        raise ConfigurationError(
            f"device='{asked}' is unknown: it is {', '.join(DEVICES)}.{nearest(asked, DEVICES)}"
        )
    if asked == "cpu":
        return "cpu", ""
    if not xgb.build_info().get("USE_CUDA"):
        reason = "this image's XGBoost is built without CUDA; take an image with `xgboost`"
    else:
        try:
            probe = xgb.QuantileDMatrix(np.zeros((2, 1), dtype=np.float32), np.array([0.0, 1.0]))
            xgb.train({"device": "cuda", "tree_method": "hist"}, probe, 1)
            return "cuda", ""
        except xgb.core.XGBoostError as error:
            reason = f"no GPU answers ({str(error).splitlines()[0][:120]})"
    _log.warning("device='%s' was asked for, and the CPU trains: %s.", asked, reason)
    return "cpu", reason


def boost(
    plan: FeaturePlan, rows: pa.Table, held_out: pa.Table, matrix: np.ndarray, settings: Settings
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
    training = xgb.QuantileDMatrix(
        plan.transform_training(rows),
        y,
        weight=row_weights(plan, rows, y, settings.balance),
        feature_names=safe,
        max_bin=bins,
    )
    validation = xgb.QuantileDMatrix(
        matrix,
        held_y,
        weight=row_weights(plan, held_out, held_y, settings.balance),
        feature_names=safe,
        ref=training,
        max_bin=bins,
    )
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgb.train(
        settings.booster,
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
