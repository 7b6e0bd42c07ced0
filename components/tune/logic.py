"""Tuning: parameters that suit a table, found within a budget of time and trials."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import numpy as np
import optuna
import xgboost as xgb
from optuna.trial import TrialState

from shipway.components.lib.constraints import Constraints, constraint_parameters
from shipway.components.lib.devices import chosen_device
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.objectives import check_labels
from shipway.components.lib.parameters import Settings, settings_for
from shipway.components.lib.tables import read_table
from shipway.components.tune.choice import Finalist, finals, smallest_of_the_best
from shipway.components.tune.folds import Fold, Folds, folds_of
from shipway.components.tune.page import write_page, write_untuned_page
from shipway.components.tune.search import (
    Budget,
    Search,
    completed,
    cores,
    ended,
    open_study,
    parameters_of,
)
from shipway.components.tune.signals import told_to_end
from shipway.components.tune.space import Space, space_for
from shipway.components.tune.study import Study
from shipway.components.tune.trials import Arena, Limits

FINALISTS = 3
SEARCH_SHARE = 0.5  # of the time; the rest is for the finalists, which train on all rows
FEW, SHARE, MANY = 10_000, 0.25, 100_000
LIGHT = 200_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to tune.

    Attributes:
        parameters: XGBoost's, by name, that are set and not searched.
        seconds: of the clock at most; 0 does not tune.
        trials: at most; 0 does not tune.
        jobs: trials at a time; 0 as cores allow. Only 1 gives one result for one seed.
        seed: of everything that draws.
        objective: auto, or one of a regression.
        device: cpu, cuda or auto.
        monotone_constraints: 1 or -1, by raw column.
        interaction_constraints: groups of raw columns that may act together.
        time_column: orders rows in time; empty where order does not matter.
    """

    parameters: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0
    trials: int = 200
    jobs: int = 0
    seed: int = 0
    objective: str = "auto"
    device: str = "cpu"
    monotone_constraints: Mapping[str, float] = field(default_factory=dict)
    interaction_constraints: Sequence[Sequence[str]] = field(default_factory=list)
    time_column: str = ""


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
    journal: Path | None = None,
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
        journal: where trials are kept; beside the study by default.

    Raises:
        ConfigurationError: a parameter is unknown, a budget negative, or the plan cannot be read.
        DataError: a table does not fit the plan.
    """
    began = time.monotonic()
    _check(request)
    if not (request.seconds and request.trials):
        write_json_aside(study_path, {"tuned": False, "parameters": dict(request.parameters)})
        write_untuned_page(report_path, request.parameters)
        return Tuned(dict(request.parameters), {"tuned": "no"})
    plan = _read_plan(plan_path)
    rows, held_out = read_table(train_path), read_table(validation_path)
    settings = _settings(plan, rows.num_rows, request)
    for table in (rows, held_out):
        check_labels(
            settings.booster["objective"], plan.label, plan.target.encode(table.column(plan.label))
        )
    folds = folds_of(
        plan, rows, held_out,
        time_column=request.time_column, balance=settings.balance, seed=request.seed,
    )  # fmt: skip
    journal = journal or study_path.with_name(f"{study_path.name}.journal")
    with told_to_end() as stop:
        study = _study(settings, folds, request, journal, began, stop)
    study_json = study.to_json()
    write_page(report_path, plan, study)
    write_json_aside(study_path, study_json)
    _log.info("tuned in %.1f s: %s", study.seconds, study.verdict)
    return Tuned(study.parameters, study.metadata())


def _study(
    settings: Settings, folds: Folds, request: Request, journal: Path, began: float, stop: Event
) -> Study:
    """Search, finals, choice."""
    last = folds.folds[-1]
    rows = len(last.training.y)
    space = space_for(rows, _scale(settings, last), request.parameters)
    sample = max(FEW, min(int(SHARE * rows), MANY))
    searched = [fold.sampled(sample, request.seed) for fold in folds.folds]
    heavy = len(searched[-1].training.y) >= LIGHT or settings.booster["device"] != "cpu"
    own = int(settings.booster.get("nthread", 0))
    jobs = request.jobs or (1 if heavy or own else cores())
    threads = own or (0 if heavy else max(1, cores() // jobs) if request.jobs else 1)
    booster = settings.booster | ({"nthread": threads} if threads else {})
    bins = settings.booster["max_bin"]
    single = len(searched) == 1
    trials = open_study(journal, _fingerprint(settings, space, last, request), request.seed, single)
    _enqueue_defaults(trials, settings, space)
    arena = Arena.of(searched, folds.names, bins, threads)
    search = Search(trials, arena, space, booster, request.seed, settings.rounds, stop)
    share = request.seconds * SEARCH_SHARE - (time.monotonic() - began)
    search.run(Budget(max(share, 0.0), request.trials, jobs))
    # Of folds in time order only the given split is trained on all rows: as `train_model` will.
    judges = folds.folds if folds.scheme == "cross-validation" else [last]
    limits = Limits(settings.rounds, settings.patience, began + request.seconds, stop)
    entries = _entries(trials, space)
    finalists: list[Finalist] = []
    if not stop.is_set() and entries:
        whole = Arena.of(judges, folds.names, bins, own)
        finalists = finals(whole, settings.booster, entries, limits)
    chosen = smallest_of_the_best(finalists) if finalists else None
    parameters = _parameters(request, folds, chosen, entries)
    return Study(
        parameters, settings, space, folds, len(searched[-1].training.y), ended(trials), finalists,
        chosen, time.monotonic() - began, request.seconds, jobs, stop.is_set(),
    )  # fmt: skip


def _entries(trials: optuna.Study, space: Space) -> list[tuple[str, dict[str, float]]]:
    """Who is trained on all rows, in order: the best trial first, then the defaults, then others.

    Only what is new: the first trial of all has the defaults' values.
    """
    best = [trial for trial in completed(trials) if trial.user_attrs.get("defaults") != 1]
    entries = [
        (f"trial {trial.number}", parameters_of(trial) | {"eta": space.final_eta})
        for trial in best[:FINALISTS]
    ]
    entries.insert(min(1, len(entries)), ("defaults", {}))
    return entries


def _parameters(
    request: Request,
    folds: Folds,
    chosen: Finalist | None,
    entries: list[tuple[str, dict[str, float]]],
) -> dict[str, float]:
    """What `train_model` is given; without finalists the best of the search, as it is."""
    if chosen is None:
        return dict(request.parameters) | (entries[0][1] if entries else {})
    found = dict(request.parameters) | chosen.parameters
    if folds.scheme == "cross-validation":  # a small validation split tells rounds badly
        found.setdefault("num_boost_round", chosen.result.rounds)
    return {name: float(value) for name, value in found.items()}


def _enqueue_defaults(trials: optuna.Study, settings: Settings, space: Space) -> None:
    """Let the first trial be the defaults, as near as the space has them."""
    waiting = trials.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    if waiting or ended(trials):
        return
    plain = {"colsample_bynode": 1.0, "reg_alpha": 0.0} | settings.booster
    values = {
        name: int(value) if one.whole else value
        for name, one in space.ranges.items()
        for value in [float(np.clip(plain[name], one.low, one.high))]
    }
    trials.enqueue_trial(values, user_attrs={"defaults": 1})


def _scale(settings: Settings, fold: Fold) -> float:
    if settings.booster["objective"] != "reg:squarederror":
        return 1.0
    return float(fold.training.y.std(dtype=np.float64)) or 1.0


def _settings(plan: FeaturePlan, rows: int, request: Request) -> Settings:
    found = settings_for(plan.target, rows, request.parameters, request.seed, request.objective)
    limits = Constraints(request.monotone_constraints, request.interaction_constraints)
    device, _ = chosen_device(request.device)
    more = constraint_parameters(plan, limits) | {"device": device}
    return replace(found, booster=found.booster | more)


def _fingerprint(settings: Settings, space: Space, fold: Fold, request: Request) -> str:
    """A name for the study of this very search: another table or setting starts another."""
    digest = hashlib.sha256()
    ranges = {name: one.to_json() for name, one in space.ranges.items()}
    facts = [settings.booster, settings.rounds, ranges, space.eta, request.seed, xgb.__version__]
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    for block in (fold.training, fold.held_out):
        for array in (block.matrix, block.y, block.weights):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _check(request: Request) -> None:
    for name, value in (
        ("time_budget_seconds", request.seconds),
        ("trial_budget", request.trials),
        ("parallel_trials", request.jobs),
    ):
        if value < 0:
            raise ConfigurationError(f"{name} must be 0 or more, not {value}. 0 does not tune.")


def _read_plan(path: Path) -> FeaturePlan:
    try:
        return FeaturePlan.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"'{path}' is not a feature plan ({error}); run fit_features again."
        ) from error
