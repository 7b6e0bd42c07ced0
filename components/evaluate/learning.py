"""Whether more data would help: the same parameters on ever larger samples of what taught it."""

from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.evaluate.queries import shuffled
from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.metrics import (
    MAIN_METRIC,
    Interval,
    compute_metrics,
    paired_difference,
)
from shipway.components.lib.model_package import ModelPackage
from shipway.components.lib.parameters import few_threads
from shipway.components.lib.queries import told
from shipway.components.lib.scoring import Prediction, Scorer

FRACTIONS = (0.25, 0.5, 1.0)
MIN_ROWS = 400
HELD = 0.15
ROUNDS = 150
PATIENCE = 15
FAST = 0.15
BINS = 64
TRIFLE = 0.01


def learning_curve(
    package: ModelPackage,
    matrix: np.ndarray,
    y: np.ndarray,
    test: np.ndarray,
    held: HeldOut,
    seed: int = 0,
) -> dict[str, Any]:
    """Refit on a quarter, a half and all of a training sample, and score the test rows.

    The refits learn faster and with coarser cuts than the model, each alike, so that they cost
    seconds: the figures are compared with each other, not with the model's.

    Args:
        package: the model, for its parameters.
        matrix: features of a sample of the rows that taught the model.
        y: their labels.
        test: features of the test rows.
        held: the test rows, scored by the model.
        seed: draws the samples.

    Returns:
        A JSON object: metric, points (rows, value), doubling (what the last doubling brought,
        with its interval), says ("more", "enough" or "unclear"); empty where rows are too few.
    """
    if len(y) < MIN_ROWS:
        return {}
    main, order = MAIN_METRIC[held.target.task], shuffled(y, np.random.default_rng(seed))
    points, said = [], []
    for fraction in FRACTIONS:
        rows = order[: int(fraction * len(y))]
        prediction = _refit(package, matrix[rows], y[rows], test)
        value = compute_metrics(held.target, held.y, prediction).get(main)
        if value is not None:
            points.append({"rows": len(rows), "value": value})
            said.append(prediction)
    if len(said) < len(FRACTIONS):
        return {}
    gain = paired_difference(held.target, held.y, said[-1], said[-2], main, rounds=100)
    if gain is None:
        return {}
    doubling = {"value": gain.value, "low": gain.low, "high": gain.high}
    says = told_by(gain, float(points[-1]["value"]))
    return {"metric": main, "points": points, "doubling": doubling, "says": says}


def told_by(gain: Interval, value: float) -> str:
    """What the last doubling says of more rows; few test rows leave it open.

    Args:
        gain: what it brought.
        value: of the metric, of which a hundredth is a trifle.
    """
    if gain.high < TRIFLE * abs(value):
        return "enough"
    return "more" if gain.low > 0 else "unclear"


def _refit(
    package: ModelPackage, matrix: np.ndarray, y: np.ndarray, test: np.ndarray
) -> Prediction:
    parameters = dict(package.manifest.get("parameters") or {})
    parameters |= {"eta": FAST, "max_bin": BINS}
    if signs := parameters.get("monotone_constraints"):
        parameters["monotone_constraints"] = tuple(signs)  # XGBoost takes no list, as of JSON
    if "objective" not in parameters:
        parameters |= _objective(package)
    kept = int(len(y) * (1 - HELD))
    # Constraints of interactions name the model's features.
    more = {"max_bin": BINS, "feature_names": package.booster.feature_names}
    training = xgb.QuantileDMatrix(matrix[:kept], **told(y[:kept], None), **more)
    watched = xgb.QuantileDMatrix(matrix[kept:], ref=training, **told(y[kept:], None), **more)
    booster = xgb.train(
        few_threads(kept) | parameters,
        training,
        ROUNDS,
        evals=[(watched, "held")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    return Scorer(booster[: booster.best_iteration + 1], package.signature).score_matrix(test)


def _objective(package: ModelPackage) -> dict[str, Any]:
    target = package.signature.target
    several = {"num_class": len(target.classes)} if target.task == "multiclass" else {}
    return {"objective": target.kind.objective} | several
