"""The search: Optuna's trials within two budgets, in a journal that a killed step goes on from.

Each trial draws from a generator seeded by how many came before it. So one job with one seed gives
one result, whether or not it was killed on the way.
"""

import json
import logging
import math
import os
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from shipway.components.tune.journal import open_journal
from shipway.components.tune.space import Space, draw
from shipway.components.tune.trials import Arena, Cut, Limits, evaluate

STARTUP = 10
PRUNE_AFTER = 6
WARMUP, EVERY = 30, 10
ROUNDS, PATIENCE = 600, 25
STALE = 80  # trials without a better one, after which a search has found what it will
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """How long the search may take.

    Attributes:
        seconds: of the search, by the clock; those of trials that a journal holds are counted.
        trials: that end with a loss or are pruned; 0 for as many as are worth it.
        jobs: trials at a time.
    """

    seconds: float
    trials: int
    jobs: int


def open_study(journal: Path, name: str, seed: int, single: bool) -> optuna.Study:
    """The study of that name in a journal, new or as a killed step left it.

    Args:
        journal: the file.
        name: tells apart studies of other tables or settings.
        seed: of the first sampler.
        single: whether there is one fold, whose losses by round tell a poor trial.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(
        PRUNE_AFTER, WARMUP if single else 0, EVERY if single else 1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=open_journal(journal),
            study_name=name,
            load_if_exists=True,
            pruner=pruner,
            sampler=_sampler(seed, 0, 1),
        )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _sampler(seed: int, number: int, jobs: int) -> optuna.samplers.TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=(seed * 1_000_003 + number) % 2**32,
            n_startup_trials=STARTUP,
            multivariate=True,
            constant_liar=jobs > 1,
        )


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """Trials with a loss, and those that were pruned."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """Trials with a loss, the best first."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(done, key=lambda trial: (trial.value, trial.number))


def parameters_of(trial: FrozenTrial) -> dict[str, float]:
    """What a trial was trained with, of what is searched."""
    return dict(json.loads(trial.user_attrs["parameters"]))


def loss_of(trial: FrozenTrial) -> float | None:
    """A trial's loss; Optuna gives one of a pruned trial too, of some round before its last."""
    return trial.value if trial.state == TrialState.COMPLETE else None


def stale(trials: Sequence[FrozenTrial]) -> bool:
    """Whether the last of the ended trials, many of them, were no better than one before."""
    losses = [math.inf if (loss := loss_of(trial)) is None else loss for trial in trials]
    return bool(losses) and len(losses) - losses.index(min(losses)) > STALE


class Search:
    """Trials until a budget is spent, or the step is told to end."""

    def __init__(
        self,
        study: optuna.Study,
        arena: Arena,
        space: Space,
        booster: Mapping[str, Any],
        seed: int,
        limits: Limits,
    ) -> None:
        """Prepare a search.

        Args:
            study: holds the trials.
            arena: the rows.
            space: what is searched.
            booster: XGBoost's parameters that are not.
            seed: of the sampler.
            limits: of each trial.
        """
        self._study = study
        self._arena = arena
        self._space = space
        self._booster = dict(booster)
        self._seed = seed
        self._stop = limits.stop
        self._limits = limits
        self._lock = threading.Lock()
        self._begun = 0
        self._slowest = 0.0

    def run(self, budget: Budget) -> None:
        """Search until a budget is spent."""
        before = ended(self._study)
        used = sum(trial.user_attrs.get("seconds", 0.0) for trial in before) / budget.jobs
        deadline = time.monotonic() + budget.seconds - used
        self._limits = replace(self._limits, deadline=deadline)
        self._begun = len(before)
        with ThreadPoolExecutor(budget.jobs) as pool:
            workers = [pool.submit(self._work, budget) for _ in range(budget.jobs)]
        for worker in workers:
            worker.result()

    def _work(self, budget: Budget) -> None:
        while (trial := self._next(budget)) is not None:
            self._try(trial)

    def _next(self, budget: Budget) -> optuna.Trial | None:
        with self._lock:
            late = time.monotonic() > self._limits.deadline
            enough = self._begun >= budget.trials if budget.trials else stale(ended(self._study))
            if enough or late or self._stop.is_set():
                return None
            self._study.sampler = _sampler(self._seed, self._begun, budget.jobs)
            self._begun += 1
            trial = self._study.ask()
            parameters = draw(trial, self._space)
            trial.set_user_attr("parameters", json.dumps(parameters))
            return trial

    def _try(self, trial: optuna.Trial) -> None:
        began = time.monotonic()
        parameters = json.loads(trial.user_attrs["parameters"])

        def worse(step: int, loss: float) -> bool:
            if step % EVERY and len(self._arena.folds) == 1:
                return False
            with self._lock:
                trial.report(loss, step)
                return trial.should_prune()

        try:
            result = evaluate(self._arena, self._booster | parameters, self._limits, worse)
        except Cut:
            late = time.monotonic() > self._limits.deadline or self._stop.is_set()
            state = TrialState.FAIL if late else TrialState.PRUNED
            self._tell(trial, began, state)
            return
        with self._lock:
            trial.set_user_attr("error", result.error)
            trial.set_user_attr("rounds", result.rounds)
            trial.set_user_attr("leaves", result.leaves)
        self._tell(trial, began, TrialState.COMPLETE, result.loss)

    def _tell(
        self, trial: optuna.Trial, began: float, state: TrialState, loss: float | None = None
    ) -> None:
        with self._lock:
            trial.set_user_attr("seconds", round(time.monotonic() - began, 3))
            self._study.tell(trial, loss, state)
        _log.info("trial %d: %s %s", trial.number, state.name.lower(), loss or "")


def cores() -> int:
    """Cores that this process may use: of its affinity, and of its container's quota."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return count
