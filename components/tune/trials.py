"""One candidate, trained on every fold: its loss, its size, and when to give up on it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.losses import as_loss, mean, mean_error, row_losses
from shipway.components.lib.parameters import few_threads
from shipway.components.lib.queries import told
from shipway.components.tune.fold import Fold
from shipway.components.tune.folds import Folds

Report = Callable[[int, float], bool]


class Cut(Exception):
    """A candidate was given up: it is worse than others, or time is over."""


@dataclass(frozen=True)
class Arena:
    """Where candidates are trained.

    Attributes:
        folds: the rows.
        matrices: of training and held-out rows, by fold; all candidates share them.
        in_time: whether each fold is later than the one before, and trains on its rows, too.
    """

    folds: Sequence[Fold]
    matrices: Sequence[tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix]]
    in_time: bool

    @classmethod
    def of(cls, folds: Folds, rows: Sequence[Fold], bins: int, threads: int) -> "Arena":
        """Build the matrices of folds, or of samples of them."""
        matrices = [fold.matrices(folds.names, bins, threads) for fold in rows]
        return cls(rows, matrices, folds.in_time and len(rows) > 1)

    def rounds(self, bests: Sequence[int]) -> list[int]:
        """The rounds that each fold is judged with, of those that were best in each."""
        if self.in_time:
            return [bests[0], *bests[:-1]]
        return [max(1, round(float(np.mean(bests))))] * len(bests)


@dataclass(frozen=True)
class Limits:
    """How long a candidate may be trained.

    Attributes:
        rounds: trees (per class) at most.
        patience: rounds without a better loss on held-out rows.
        deadline: on the monotonic clock.
        stop: set when the step is told to end.
    """

    rounds: int
    patience: int
    deadline: float
    stop: Event


@dataclass(frozen=True)
class Result:
    """What came of a candidate.

    Attributes:
        loss: mean over all held-out rows.
        error: its standard error.
        losses: of each row that judges, or query of a ranking, float64 of shape (n,).
        weights: of the same, or None.
        rounds: that the last fold was judged with.
        leaves: of all trees, mean over the folds.
        seconds: that it took.
        related: numbers that rows have in common which may depend on each other, or None.
    """

    loss: float
    error: float
    losses: np.ndarray
    weights: np.ndarray | None
    rounds: int
    leaves: int
    seconds: float
    related: np.ndarray | None = None


class _Watch(xgb.callback.TrainingCallback):  # type: ignore[misc]
    """Stops at the deadline, when the step is told to end, or when `worse` says so."""

    def __init__(self, limits: Limits, worse: Report | None, booster: Mapping[str, Any]) -> None:
        self._booster = booster
        self._limits = limits
        self._worse = worse
        self.cut = False

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        late = time.monotonic() > self._limits.deadline or self._limits.stop.is_set()
        loss = as_loss(self._booster, next(iter(evals_log["held_out"].values()))[-1])
        self.cut = late or (self._worse is not None and self._worse(epoch, loss))
        return self.cut


def evaluate(
    arena: Arena, booster: Mapping[str, Any], limits: Limits, report: Report | None = None
) -> Result:
    """Train a candidate on every fold.

    The best round of a fold would be chosen by the very rows that judge it. So one number of rounds
    is taken for all, the mean of their best; but in time a fold takes that of the fold before,
    whose rows teach it, as the last training will do. The first one then only settles rounds.

    Args:
        arena: the rows.
        booster: XGBoost's parameters.
        limits: when to stop.
        report: is told of a loss, by round of a single fold or by fold of several; returns whether
            to give up.

    Raises:
        Cut: it was given up.
    """
    began = time.monotonic()
    single = len(arena.folds) == 1
    boosters: list[xgb.Booster] = []
    bests: list[int] = []
    reached: list[float] = []
    for number, (training, held_out) in enumerate(arena.matrices):
        least = bests[-1] if arena.in_time and bests else 0
        watch = _Watch(limits, report if single else None, booster)
        trained = xgb.train(
            few_threads(training.num_row()) | dict(booster),
            training,
            limits.rounds,
            evals=[(held_out, "held_out")],
            early_stopping_rounds=max(limits.patience, least),
            callbacks=[watch],
            verbose_eval=False,
        )
        if watch.cut:
            raise Cut
        boosters.append(trained)
        bests.append(trained.best_iteration + 1)
        reached.append(as_loss(booster, trained.best_score))
        if not single and report is not None and report(number, float(np.mean(reached))):
            raise Cut
    losses: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    leaves = 0
    parts = zip(arena.folds, boosters, arena.matrices, arena.rounds(bests), strict=True)
    judges = list(parts)[1 if arena.in_time else 0 :]
    for fold, trained, (_, held_out), rounds in judges:
        kept = min(rounds, trained.num_boosted_rounds())
        margins = trained.predict(held_out, output_margin=True, iteration_range=(0, kept))
        losses.append(row_losses(booster, margins, fold.held_out.y))
        weight = told(fold.held_out.y, fold.held_out.weights)["weight"]
        if weight is not None:
            weights.append(weight)
        leaves += sum(tree.count("leaf=") for tree in trained[:kept].get_dump())
    every = np.concatenate(losses)
    weight = np.concatenate(weights) if weights else None
    related = _apart([fold.held_out.related for fold, *_ in judges])
    return Result(
        mean(every, weight), mean_error(every, weight, related), every, weight, judges[-1][-1],
        round(leaves / len(judges)), time.monotonic() - began, related,
    )  # fmt: skip


def _apart(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Which rows may depend on each other; those of different folds do not."""
    found: list[np.ndarray] = []
    for part in parts:
        if part is None:
            return None
        found.append(part + (found[-1].max() + 1 if found else 0))
    return np.concatenate(found)
