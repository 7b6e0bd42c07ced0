"""Training: the booster, its calibration and threshold, and the package of all three."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.constraints import Constraints, constraint_parameters
from shipway.components.lib.devices import chosen_device
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.memory import give_back
from shipway.components.lib.metrics import compute_metrics
from shipway.components.lib.model_package import write_package
from shipway.components.lib.parameters import Settings, settings_for
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
from shipway.components.train.settling import settle
from shipway.components.train.threshold import check_rule, rule_of
from shipway.components.train.workers import boost_on_workers, check_workers, job_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to train.

    Attributes:
        model_name: its name.
        parameters: XGBoost's, by name.
        seed: of everything that draws.
        objective: auto, or one of a regression.
        device: cpu, cuda or auto.
        monotone_constraints: 1 or -1, by raw column.
        interaction_constraints: groups of raw columns that may act together.
        threshold_rule: what the answers of a binary model are for.
        quality: fast, standard or best.
        time_column: orders rows in time; empty where order does not matter.
        workers: processes, or pods on a cluster, that train together; each holds a share of rows.
        uris: of train, validation, plan and model, where they are no paths.
    """

    model_name: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    objective: str = "auto"
    device: str = "cpu"
    monotone_constraints: Mapping[str, float] = field(default_factory=dict)
    interaction_constraints: Sequence[Sequence[str]] = field(default_factory=list)
    threshold_rule: str = "f1"
    quality: str = "standard"
    time_column: str = ""
    workers: int = 1
    uris: dict[str, str] = field(default_factory=dict)


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
    settings, cpu_reason = _settings(plan, rows.num_rows, request)
    y = labels_of(plan, held_out)
    width = len(plan.feature_names)
    on_disk = stands_on_disk(settings.external, (rows.num_rows, width))
    matrix = plan.transform(held_out, room((held_out.num_rows, width), on_disk))
    places = {"train": str(train_path), "validation": str(validation_path), "plan": str(plan_path)}
    places |= {"model": str(model_path)} | request.uris
    inputs = [train_path, validation_path, plan_path]
    kept = Checkpoints(
        address_for(places["model"], request.model_name),
        lambda: fingerprint(inputs, settings, request.workers),
    )
    # Asked before the work: a time column that is not there is refused.
    again = request.workers == 1 and worth_it(
        plan, rows, held_out, settings, request.quality, request.time_column
    )
    give_back()
    booster, curves = _boosted(plan, rows, held_out, matrix, settings, kept, places, request)
    give_back()
    signature, margins = settle(
        plan, booster, matrix, y, settings.response, request.model_name, request.threshold_rule
    )
    prediction = Scorer(booster, signature).score_margins(margins)
    if again:
        members = len(curves) if request.quality == "best" else 1
        each = round(booster.num_boosted_rounds() / members)
        booster = refit(plan, rows, held_out, matrix, settings, each, members)
        give_back()
    scorer = Scorer(booster, signature)
    golden = golden_rows(held_out, plan, matrix, prediction)
    metrics = compute_metrics(plan.target, y, prediction)
    seconds = time.monotonic() - began
    facts = {
        "rounds": float(booster.num_boosted_rounds()),
        "training_seconds": round(seconds, 2),
        "training_rows": float(rows.num_rows),
        "refit_rows": float(rows.num_rows + held_out.num_rows) if again else 0.0,
    }
    facts |= {"members": float(len(curves))} if request.quality == "best" else {}
    baseline = baseline_of(plan, rows, prediction)
    give_back()
    write_page(report_path, plan, settings, curves, booster, metrics | facts, signature, cpu_reason)
    digest = write_package(
        model_path,
        booster,
        signature,
        golden,
        _outputs(scorer, golden),
        baseline,
        {
            "data": {"training_rows": rows.num_rows, "validation_rows": held_out.num_rows},
            "parameters": settings.booster,
            "rounds": booster.num_boosted_rounds(),
            "seed": request.seed,
            "quality": request.quality,
            "validation_metrics": metrics,
            "refit": again,
        },
    )
    _log.info(
        "trained %s on %d rows: %d rounds, %.1f s, %s",
        request.model_name, rows.num_rows, booster.num_boosted_rounds(), seconds, metrics,
    )  # fmt: skip
    kept.clear()
    metadata: dict[str, str | float] = {
        "digest": digest,
        "task": plan.target.task,
        "model_name": request.model_name,
        "xgboost_version": xgb.__version__,
    }
    if kept.resumed_at:  # what samples rows or columns is another model than without a break
        metadata["resumed_at_round"] = float(kept.resumed_at)
    return Trained(metrics | facts, metadata)


def _checked(plan_path: Path, request: Request) -> FeaturePlan:
    """The plan; what cannot be trained is refused before the work."""
    rule_of(request.threshold_rule)
    check_workers(request.workers, request.quality)
    plan = FeaturePlan.read(plan_path)
    check_rule(request.threshold_rule, plan.target.task)
    if plan.target.ranked:
        check_ranking(request.workers)
    return plan


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
        return bag(plan, rows, held_out, matrix, settings, request.time_column)
    if request.workers > 1:
        shape = rows.num_rows, len(plan.feature_names)
        job = job_of(places, kept, settings, shape, request.workers)
        return boost_on_workers(job, request.workers, kept)
    return boost(plan, rows, held_out, matrix, settings, kept)


def _settings(plan: FeaturePlan, rows: int, request: Request) -> tuple[Settings, str]:
    """XGBoost's settings for a request, and why the CPU trains where a GPU was asked for."""
    found = settings_for(
        plan.target, rows, request.parameters, request.seed, request.objective, request.quality
    )
    limits = Constraints(request.monotone_constraints, request.interaction_constraints)
    device, reason = chosen_device(request.device)
    bound = constraint_parameters(plan, limits, found.booster["objective"])
    return replace(found, booster=found.booster | bound | {"device": device}), reason


def _outputs(scorer: Scorer, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the endpoint will answer for JSON rows: scored as it scores them."""
    transform = scorer.plan.row_transformer()
    matrix = np.stack([transform(row) for row in rows])
    prediction: Prediction = scorer.score_matrix(matrix)
    return scorer.outputs(prediction)
