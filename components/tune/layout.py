"""What the trials of a search see: the rows of their folds, the space, and how many run at once."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from shipway.components.lib.asked import settings_of
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.losses import RANKING
from shipway.components.lib.objectives import check_labels
from shipway.components.lib.parameters import Settings
from shipway.components.lib.stored_table import StoredTable
from shipway.components.tune.fold import Fold
from shipway.components.tune.folds import Folds, folds_of, sample_rows
from shipway.components.tune.request import Request
from shipway.components.tune.search import PATIENCE, ROUNDS, cores
from shipway.components.tune.space import Space, rounded, space_for
from shipway.components.tune.trials import Arena, Limits, Result, evaluate

LIGHT = 200_000


@dataclass(frozen=True)
class Layout:
    """What trials see.

    Attributes:
        plan: the feature plan.
        settings: of the defaults.
        folds: of all rows.
        searched: samples of them, which trials are trained on and judged by.
        space: what is searched.
        jobs: trials at a time, on one machine.
        threads: of a trial; 0 takes all.
    """

    plan: FeaturePlan
    settings: Settings
    folds: Folds
    searched: list[Fold]
    space: Space
    jobs: int
    threads: int

    @property
    def booster(self) -> dict[str, Any]:
        """XGBoost's parameters of a trial that are not searched."""
        threads = {"nthread": self.threads} if self.threads else {}
        return self.settings.booster | threads | {"eta": self.space.eta}

    def alone(self) -> "Layout":
        """The same for a trial that has a machine of its own: it takes all threads of it."""
        return replace(self, jobs=1, threads=int(self.settings.booster.get("nthread", 0)))

    def arena(self) -> Arena:
        """The matrices that all trials share."""
        bins = self.settings.booster["max_bin"]
        return Arena.of(self.folds, self.searched, bins, self.threads)

    def limits(self, deadline: float, stop: Event) -> Limits:
        """How long a trial may be trained."""
        return Limits(min(self.settings.rounds, ROUNDS), PATIENCE, deadline, stop)


def layout_of(train: Path, validation: Path, plan_path: Path, request: Request) -> Layout:
    """Read the tables, and lay out what trials see of them.

    Raises:
        ConfigurationError: a parameter is unknown, or the plan cannot be read.
        DataError: a table does not fit the plan.
    """
    plan = FeaturePlan.read(plan_path)
    rows, held_out = StoredTable(train), StoredTable(validation)
    settings, _ = settings_of(plan, rows.num_rows, request)
    for table in (rows, held_out):
        labels = plan.target.encode(table.column(plan.label))
        check_labels(settings.booster["objective"], plan.label, labels)
    folds = folds_of(
        plan, rows, held_out,
        time_column=request.time_column, balance=settings.balance, seed=request.seed,
        seconds=request.seconds,
    )  # fmt: skip
    last = folds.folds[-1]
    count = len(last.training.y)
    ranked = settings.booster["objective"] == RANKING
    space = space_for(count, _scale(settings, last), request.parameters, ranked)
    if request.quality == "fast":
        space = replace(space, final_eta=space.eta)
    searched = [fold.sampled(sample_rows(count), request.seed) for fold in folds.folds]
    heavy = len(searched[-1].training.y) >= LIGHT or settings.booster["device"] != "cpu"
    own = int(settings.booster.get("nthread", 0))
    jobs = request.jobs or (1 if heavy or own else cores())
    threads = own or (0 if heavy else max(1, cores() // jobs) if request.jobs else 1)
    return Layout(plan, settings, folds, searched, space, jobs, threads)


def one_trial(layout: Layout, parameters: Mapping[str, float]) -> Result:
    """Train one candidate as the trials of a search are trained, on a machine of its own."""
    alone, limits = layout.alone(), layout.limits(time.monotonic() + 1e9, Event())
    return evaluate(alone.arena(), alone.booster | rounded(parameters, layout.space), limits)


def _scale(settings: Settings, fold: Fold) -> float:
    if settings.booster["objective"] != "reg:squarederror":
        return 1.0
    return float(fold.training.y.std(dtype="float64")) or 1.0
