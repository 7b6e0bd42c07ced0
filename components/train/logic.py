"""Training: the booster, its calibration and threshold, and the package of all three."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb

from shipway.components.lib.calibration import Calibrator, fit_calibrator
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.metrics import compute_metrics
from shipway.components.lib.model_package import write_package
from shipway.components.lib.scoring import Prediction, Scorer
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import read_table
from shipway.components.train.baseline import baseline_of
from shipway.components.train.golden import golden_rows
from shipway.components.train.page import write_page
from shipway.components.train.parameters import Settings, settings_for
from shipway.components.train.threshold import best_threshold

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What training tells KFP.

    Attributes:
        metrics: of the validation rows, with rounds and seconds; finite.
        metadata: of the model artifact; flat.
    """

    metrics: dict[str, float]
    metadata: dict[str, str | float]


def train(
    train_path: Path,
    validation_path: Path,
    plan_path: Path,
    model_path: Path,
    report_path: Path,
    model_name: str,
    parameters: Mapping[str, float],
    seed: int,
) -> Trained:
    """Train a model and write its package and its page.

    Training rows make the trees; validation rows choose their number, the calibration and the
    threshold. The test split is not seen.

    Raises:
        ConfigurationError: a parameter is unknown, or the plan cannot be read.
        DataError: a table does not fit the plan.
    """
    began = time.monotonic()
    plan = _read_plan(plan_path)
    rows, held_out = read_table(train_path), read_table(validation_path)
    settings = settings_for(plan.target, rows.num_rows, parameters, seed)
    y = plan.target.encode(held_out.column(plan.label))
    matrix = plan.transform(held_out)
    booster, curves = _boost(plan, rows, matrix, y, settings)
    plain = signature_of(plan, model_name, None, Calibrator().to_json(), xgb.__version__)
    calibrator = Calibrator()
    if plan.target.task != "regression":
        margins = Scorer(booster, plain).margins(matrix)
        calibrator = fit_calibrator(plan.target, margins, y)
    threshold = None
    if plan.target.task == "binary":
        probabilities = Scorer(booster, plain)
        calibrated = calibrator.apply(probabilities.margins(matrix))
        threshold = best_threshold(y, calibrated[:, 1])
    signature = signature_of(plan, model_name, threshold, calibrator.to_json(), xgb.__version__)
    scorer = Scorer(booster, signature)
    prediction = scorer.score_matrix(matrix)
    golden = golden_rows(held_out, plan, matrix, prediction)
    metrics = compute_metrics(plan.target, y, prediction)
    seconds = time.monotonic() - began
    facts = {
        "rounds": float(booster.num_boosted_rounds()),
        "training_seconds": round(seconds, 2),
        "training_rows": float(rows.num_rows),
    }
    write_page(report_path, plan, settings, curves, booster, metrics | facts, calibrator, threshold)
    digest = write_package(
        model_path,
        booster,
        signature,
        golden,
        _outputs(scorer, golden),
        baseline_of(plan, rows, prediction),
        {
            "data": {"training_rows": rows.num_rows, "validation_rows": held_out.num_rows},
            "parameters": settings.booster,
            "rounds": booster.num_boosted_rounds(),
            "seed": seed,
            "validation_metrics": metrics,
        },
    )
    _log.info(
        "trained %s on %d rows: %d rounds, %.1f s, %s",
        model_name, rows.num_rows, booster.num_boosted_rounds(), seconds, metrics,
    )  # fmt: skip
    metadata: dict[str, str | float] = {
        "digest": digest,
        "task": plan.target.task,
        "model_name": model_name,
        "xgboost_version": xgb.__version__,
    }
    return Trained(metrics | facts, metadata)


def _read_plan(path: Path) -> FeaturePlan:
    try:
        return FeaturePlan.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"'{path}' is not a feature plan ({error}); run fit_features again."
        ) from error


def _boost(
    plan: FeaturePlan, rows: pa.Table, matrix: np.ndarray, y: np.ndarray, settings: Settings
) -> tuple[xgb.Booster, dict[str, list[float]]]:
    """The booster cut at its best round, and the losses of training and validation by round."""
    names = plan.feature_names
    # XGBoost refuses "[", "]" and "<" in names; the plan keeps the true ones.
    safe = [f"f{index}" for index in range(len(names))]
    training = xgb.QuantileDMatrix(
        plan.transform_training(rows),
        plan.target.encode(rows.column(plan.label)),
        feature_names=safe,
        max_bin=settings.booster["max_bin"],
    )
    validation = xgb.QuantileDMatrix(
        matrix, y, feature_names=safe, ref=training, max_bin=settings.booster["max_bin"]
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
    metric = settings.booster["eval_metric"]
    return best, {name: values[metric] for name, values in history.items()}


def _outputs(scorer: Scorer, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the endpoint will answer for JSON rows: scored as it scores them."""
    transform = scorer.plan.row_transformer()
    matrix = np.stack([transform(row) for row in rows])
    prediction: Prediction = scorer.score_matrix(matrix)
    return scorer.outputs(prediction)
