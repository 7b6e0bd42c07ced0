"""Tuning: parameters that suit a table, found within a budget of time and trials."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import optuna

from shipway.components.lib.files import write_json_aside
from shipway.components.lib.parameters import named
from shipway.components.tune.katib import check_cluster, search_on_cluster
from shipway.components.tune.layout import layout_of
from shipway.components.tune.page import write_page, write_untuned_page
from shipway.components.tune.request import Request
from shipway.components.tune.signals import told_to_end
from shipway.components.tune.stages import run_study, search_here

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
    uris: Mapping[str, str] | None = None,
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
        uris: of train, validation, plan and study, where they are no paths.

    Raises:
        ConfigurationError: a parameter is unknown, or the plan cannot be read.
        DataError: a table does not fit the plan.
    """
    began = time.monotonic()
    request = replace(request, parameters=named(request.parameters))
    paths = {"train": train_path, "validation": validation_path, "plan": plan_path}
    places = {name: str(path) for name, path in (paths | {"study": study_path}).items()}
    places |= uris or {}
    if not request.seconds:
        write_json_aside(study_path, {"tuned": False, "parameters": dict(request.parameters)})
        write_untuned_page(report_path, request.parameters)
        return Tuned(dict(request.parameters), {"tuned": "no"})
    on_cluster = request.tuner == "katib"
    if on_cluster:
        check_cluster(places)
    layout = layout_of(train_path, validation_path, plan_path, request)
    with told_to_end() as stop:

        def searched(deadline: float) -> optuna.Study:
            if on_cluster:
                return search_on_cluster(layout, request, places, deadline, stop)
            return search_here(layout, request, journal, deadline, stop)

        study = run_study(layout, request, searched, began, stop)
    write_page(report_path, layout.plan, study)
    write_json_aside(study_path, study.to_json())
    _log.info("tuned in %.1f s: %s", study.seconds, study.verdict)
    return Tuned(study.parameters, study.metadata())
