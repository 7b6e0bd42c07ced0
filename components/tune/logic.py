"""Tuning: parameters that suit a table, found within a budget of time and trials."""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from shipway.components.lib.constraints import Constraints, constraint_parameters
from shipway.components.lib.devices import chosen_device
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.objectives import check_labels
from shipway.components.lib.parameters import Settings, settings_for
from shipway.components.lib.stored_table import StoredTable
from shipway.components.tune.folds import folds_of
from shipway.components.tune.page import write_page, write_untuned_page
from shipway.components.tune.request import Request
from shipway.components.tune.signals import told_to_end
from shipway.components.tune.stages import run_study

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """What tuning tells KFP.

    Attributes:
        parameters: for `train_model`.
        metadata: of the study; flat.
    """

    parameters: dict[str, float]
    metadata: dict[str, str | float]


def tune(
    train_path: Path,
    validation_path: Path,
    plan_path: Path,
    study_path: Path,
    report_path: Path,
    request: Request,
    journal: Path,
) -> Tuned:
    """Search parameters on a sample, train the best on all rows, and take the smallest of the best.

    The test split is not seen. A step that is killed goes on from its journal when it is run again;
    one that is told to end (SIGTERM) answers with the best so far.

    Args:
        train_path: training rows.
        validation_path: rows that judge.
        plan_path: feature plan, fitted on the training rows.
        study_path: where to write the study, JSON.
        report_path: where to write the page.
        request: what to tune, and the budgets.
        journal: file that trials are kept in.

    Raises:
        ConfigurationError: a parameter is unknown, or the plan cannot be read.
        DataError: a table does not fit the plan.
    """
    began = time.monotonic()
    if not (request.seconds and request.trials):
        write_json_aside(study_path, {"tuned": False, "parameters": dict(request.parameters)})
        write_untuned_page(report_path, request.parameters)
        return Tuned(dict(request.parameters), {"tuned": "no"})
    plan = FeaturePlan.read(plan_path)
    rows, held_out = StoredTable(train_path), StoredTable(validation_path)
    settings = _settings(plan, rows.num_rows, request)
    for table in (rows, held_out):
        check_labels(
            settings.booster["objective"], plan.label, plan.target.encode(table.column(plan.label))
        )
    folds = folds_of(
        plan, rows, held_out,
        time_column=request.time_column, balance=settings.balance, seed=request.seed,
    )  # fmt: skip
    with told_to_end() as stop:
        study = run_study(settings, folds, request, journal, began, stop)
    write_page(report_path, plan, study)
    write_json_aside(study_path, study.to_json())
    _log.info("tuned in %.1f s: %s", study.seconds, study.verdict)
    return Tuned(study.parameters, study.metadata())


def _settings(plan: FeaturePlan, rows: int, request: Request) -> Settings:
    found = settings_for(plan.target, rows, request.parameters, request.seed, request.objective)
    limits = Constraints(request.monotone_constraints, request.interaction_constraints)
    device, _ = chosen_device(request.device)
    more = constraint_parameters(plan, limits) | {"device": device}
    return replace(found, booster=found.booster | more)
