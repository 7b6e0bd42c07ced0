"""The stages of a tuning: trials on a sample, finalists on all rows, the choice among them."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import numpy as np
import optuna
import xgboost as xgb
from optuna.trial import TrialState

from shipway.components.lib.parameters import Settings
from shipway.components.tune.choice import Entry, Finalist, finals, smallest_of_the_best
from shipway.components.tune.folds import Folds
from shipway.components.tune.layout import Layout
from shipway.components.tune.request import Request
from shipway.components.tune.search import (
    Budget,
    Search,
    completed,
    ended,
    open_study,
    parameters_of,
)
from shipway.components.tune.space import Space
from shipway.components.tune.study import Study
from shipway.components.tune.trials import Arena, Limits

FINALISTS = 3
SEARCH_SHARE = 0.5  # of the time; the rest is for the finalists, which train on all rows

Searched = Callable[[float], optuna.Study]


def search_here(
    layout: Layout, request: Request, journal: Path, deadline: float, stop: Event
) -> optuna.Study:
    """Optuna's trials, within this process."""
    name = _fingerprint(layout, request)
    trials = open_study(journal, name, request.seed, len(layout.searched) == 1)
    _enqueue_defaults(trials, layout.settings, layout.space)
    limits = layout.limits(deadline, stop)
    search = Search(trials, layout.arena(), layout.space, layout.booster, request.seed, limits)
    left = deadline - time.monotonic()
    search.run(Budget(max(left, 0.0), request.trials, layout.jobs))
    return trials


def run_study(
    layout: Layout, request: Request, searched: Searched, began: float, stop: Event
) -> Study:
    """Search, finals, choice.

    Args:
        layout: what trials see.
        request: what to tune, and the budgets.
        searched: the search, given the time on the monotonic clock when it must have ended.
        began: when the step did, on that clock.
        stop: set when the step is told to end.
    """
    settings, folds, space = layout.settings, layout.folds, layout.space
    trials = searched(began + request.seconds * SEARCH_SHARE)
    limits = Limits(settings.rounds, settings.patience, began + request.seconds, stop)
    entries = _entries(trials, space)
    finalists: list[Finalist] = []
    if not stop.is_set() and entries:
        threads = int(settings.booster.get("nthread", 0))
        bins = settings.booster["max_bin"]
        arena = Arena.of(folds, folds.folds, bins, threads)
        finalists = finals(arena, settings.booster, entries, limits)
    chosen = smallest_of_the_best(finalists, folds.in_time) if finalists else None
    parameters = _parameters(request, folds, chosen, trials, space)
    return Study(
        parameters, settings, space, folds, len(layout.searched[-1].training.y), ended(trials),
        finalists, chosen, time.monotonic() - began, request.seconds, layout.jobs, stop.is_set(),
    )  # fmt: skip


def _entries(trials: optuna.Study, space: Space) -> list[Entry]:
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
    trials: optuna.Study,
    space: Space,
) -> dict[str, float]:
    """What `train_model` is given; without finalists the best of the search, or the defaults."""
    if chosen is None:
        best = completed(trials)[:1]
        if not best or best[0].user_attrs.get("defaults"):
            return dict(request.parameters)
        return dict(request.parameters) | parameters_of(best[0]) | {"eta": space.final_eta}
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


def _fingerprint(layout: Layout, request: Request) -> str:
    """A name for the study of this very search: another table or setting starts another."""
    settings, space, fold = layout.settings, layout.space, layout.folds.folds[-1]
    digest = hashlib.sha256()
    ranges = {name: one.to_json() for name, one in space.ranges.items()}
    facts = [settings.booster, settings.rounds, ranges, space.eta, request.seed, xgb.__version__]
    facts += [layout.folds.scheme, len(layout.searched)]
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    for block in (fold.training, fold.held_out):
        for array in (block.matrix, block.y, block.weights):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
