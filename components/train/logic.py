"""Training: the booster, its calibration and threshold, and the package of all three."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.asked import settings_of
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.folds import related_rows, split_in_time
from shipway.components.lib.memory import give_back
from shipway.components.lib.metrics import compute_metrics
from shipway.components.lib.model_package import write_package
from shipway.components.lib.parameters import Settings
from shipway.components.lib.queries import labels_of
from shipway.components.lib.scoring import Prediction, Scorer
from shipway.components.lib.stored_table import StoredTable
from shipway.components.train.bagging import bag
from shipway.components.train.baseline import baseline_of
from shipway.components.train.boosting import boost
from shipway.components.train.checkpoint import Checkpoints, address_for, fingerprint
from shipway.components.train.golden import golden_rows
from shipway.components.train.matrices import room, stands_on_disk
from shipway.components.train.page import write_page
from shipway.components.train.queries import boost_queries, check_ranking
from shipway.components.train.refit import refit, worth_it
from shipway.components.train.request import Request
from shipway.components.train.settling import at_level, settle
from shipway.components.train.threshold import check_rule, rule_of
from shipway.components.train.workers import boost_on_workers, check_workers, job_of

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
    request: Request,
) -> Trained:
    """Train a model and write its package and its page.

    Training rows make the trees; validation rows choose their number, the calibration, the
    threshold and the width of intervals, and may then teach, too (`refit.py`). The test split is
    not seen.

    Raises:
        ConfigurationError: a parameter is unknown, or the plan cannot be read.
        DataError: a table does not fit the plan.
        WorkerError: several workers were asked for, and one failed.
    """
    began = time.monotonic()
    plan = _checked(plan_path, request)
    rows, held_out = StoredTable(train_path), StoredTable(validation_path)
    settings, cpu_reason = settings_of(plan, rows.num_rows, request)
    y, matrix = labels_of(plan, held_out), _held_out_matrix(plan, rows, held_out, settings)
    places = {"train": str(train_path), "validation": str(validation_path), "plan": str(plan_path)}
    places |= {"model": str(model_path)} | request.uris
    inputs = [train_path, validation_path, plan_path]
    kept = Checkpoints(
        address_for(places["model"], request.model_name),
        lambda: fingerprint(inputs, settings, request.workers, request.time_column),
    )
    # Asked before the work: a time column that is not there is refused.
    in_time = split_in_time(rows, held_out, request.time_column)
    again = request.workers == 1 and worth_it(
        plan, rows.num_rows, settings, request.quality, in_time
    )
    booster, curves = _boosted(plan, rows, held_out, matrix, settings, kept, places, request)
    give_back()
    related = related_rows(plan, held_out, request.time_column)
    signature, margins = settle(
        plan, booster, matrix, y, settings.response, request, related, again and in_time
    )
    prediction = Scorer(booster, signature).score_margins(margins)
    if again:
        members = len(curves) if request.quality == "best" else 1
        each = round(booster.num_boosted_rounds() / members)
        booster = refit(plan, rows, held_out, matrix, settings, each, members)
        if in_time:
            signature = at_level(signature, booster, matrix, y)
        give_back()
    golden = golden_rows(held_out, plan, matrix, prediction)
    metrics = compute_metrics(plan.target, y, prediction)
    facts = {
        "rounds": float(booster.num_boosted_rounds()),
        "training_seconds": round(time.monotonic() - began, 2),
        "training_rows": float(rows.num_rows),
        "refit_rows": float(rows.num_rows + held_out.num_rows) if again else 0.0,
    }
    facts |= {"members": float(len(curves))} if request.quality == "best" else {}
    baseline = baseline_of(plan, rows, prediction)
    give_back()
    write_page(report_path, plan, settings, curves, booster, metrics | facts, signature, cpu_reason)
    evidence = {
        "data": {"training_rows": rows.num_rows, "validation_rows": held_out.num_rows},
        "parameters": settings.booster,
        "rounds": booster.num_boosted_rounds(),
        "seed": request.seed,
        "quality": request.quality,
        "validation_metrics": metrics,
        "refit": again,
    }
    answers = _outputs(Scorer(booster, signature), golden)
    digest = write_package(model_path, booster, signature, golden, answers, baseline, evidence)
    _log.info("trained %s: %s", request.model_name, metrics | facts)
    kept.clear()
    return Trained(metrics | facts, _metadata(plan, request, digest, kept))


def _checked(plan_path: Path, request: Request) -> FeaturePlan:
    """The plan; what cannot be trained is refused before the work."""
    rule_of(request.threshold_rule)
    check_workers(request.workers, request.quality)
    plan = FeaturePlan.read(plan_path)
    check_rule(request.threshold_rule, plan.target.task)
    if plan.target.ranked:
        check_ranking(request.workers)
    return plan


def _held_out_matrix(
    plan: FeaturePlan, rows: StoredTable, held_out: StoredTable, settings: Settings
) -> np.ndarray:
    """The model's rows of validation; they stand on disk where the training rows do."""
    width = len(plan.feature_names)
    on_disk = stands_on_disk(settings.external, (rows.num_rows, width))
    matrix = plan.transform(held_out, room((held_out.num_rows, width), on_disk))
    give_back()
    return matrix


def _boosted(
    plan: FeaturePlan,
    rows: StoredTable,
    held_out: StoredTable,
    matrix: np.ndarray,
    settings: Settings,
    kept: Checkpoints,
    places: Mapping[str, str],
    request: Request,
) -> tuple[xgb.Booster, dict[str, list[float]]]:
    """The booster and its losses by round, by the way that the request asks for."""
    if plan.target.ranked:
        return boost_queries(plan, rows, held_out, matrix, settings, kept)
    if request.quality == "best":
        return bag(plan, rows, held_out, matrix, settings, request.time_column, kept)
    if request.workers > 1:
        shape = rows.num_rows, len(plan.feature_names)
        job = job_of(places, kept, settings, shape, request.workers)
        return boost_on_workers(job, request.workers, kept)
    return boost(plan, rows, held_out, matrix, settings, kept)


def _metadata(
    plan: FeaturePlan, request: Request, digest: str, kept: Checkpoints
) -> dict[str, str | float]:
    metadata: dict[str, str | float] = {
        "digest": digest,
        "task": plan.target.task,
        "model_name": request.model_name,
        "xgboost_version": xgb.__version__,
    }
    if kept.resumed_at:  # what samples rows or columns is another model than without a break
        metadata["resumed_at_round"] = float(kept.resumed_at)
    return metadata


def _outputs(scorer: Scorer, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the endpoint will answer for JSON rows: scored as it scores them."""
    transform = scorer.plan.row_transformer()
    matrix = np.stack([transform(row) for row in rows])
    prediction: Prediction = scorer.score_matrix(matrix)
    return scorer.outputs(prediction)
