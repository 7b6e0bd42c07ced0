"""Interactions found by need: features of two numbers that make rows less wrong.

Each half of the training rows teaches a booster, which the other half judges. On what they leave
over, candidates compete with the features that there are. The best are then tried, one after
another, beside those taken before. One is taken where boosters that have it lose less by a share
worth having, and further than chance would have it, given of how many it was chosen (Bonferroni),
on the training rows, each judged by the booster that it did not teach; and where validation rows
confirm it. Two failures end the search, so that a table that needs none costs little time.
"""

import logging
from dataclasses import replace
from itertools import combinations
from statistics import NormalDist

import numpy as np
import xgboost as xgb

from shipway.components.features.trials import Part, Sample, feature_gains, margins_of, sample_of
from shipway.components.lib.columns import encode_column
from shipway.components.lib.constraints import Constraints, may_interact
from shipway.components.lib.contributions import column_starts
from shipway.components.lib.features import FeaturePlan, to_float32
from shipway.components.lib.interactions import (
    COMBINED,
    OPERATIONS,
    Interaction,
    combine,
    interaction_of,
)
from shipway.components.lib.losses import mean, mean_error
from shipway.components.lib.missing import places_of_missing, stand_in
from shipway.components.lib.stored_table import StoredTable

MIN_ROWS = 500  # of validation
NUMBERS = 6  # columns that may take part: those that matter most
TRIED, MISSES = 4, 2  # candidates, the best first; failures that end the search
FEW = 0.01  # of the rows, whose gains are cut to those of the others: no few rows decide
TINY = 1e-300
CHANCE = 0.05  # that noise is taken for an interaction
WORTH = 0.002  # of the loss
CONFIRMED = NormalDist().inv_cdf(0.95)  # standard errors, on validation rows
ROUNDS, COMPETING = 30, {"max_depth": 4, "colsample_bytree": 1.0}  # where candidates compete
_log = logging.getLogger(__name__)


def find_interactions(
    plan: FeaturePlan, rows: StoredTable, held_out: StoredTable, constraints: Constraints
) -> list[Interaction]:
    """Find the interactions that earn their place.

    Args:
        plan: fitted on the training rows.
        rows: of training, raw.
        held_out: of validation, raw.
        constraints: of the trees; columns under one take no part.

    Raises:
        DataError: a table does not fit the plan.
    """
    names = [column.name for column in plan.columns if column.kind in COMBINED and not column.other]
    pairs = [pair for pair in combinations(names, 2) if may_interact(constraints, *pair)]
    if plan.target.ranked or not pairs or held_out.num_rows < MIN_ROWS:
        return []
    return _confirmed(sample_of(plan, rows, held_out), plan, pairs)


def _confirmed(
    sample: Sample, plan: FeaturePlan, pairs: list[tuple[str, str]]
) -> list[Interaction]:
    taken: list[Interaction] = []
    judge, missed = _Judge(sample, sample.training, sample.held_out), 0
    candidates, tried = _candidates(judge, plan, pairs)
    for candidate in candidates:
        parts = (_widened(plan, part, [candidate]) for part in (judge.training, judge.held_out))
        wide = _Judge(sample, *parts)
        verdict = _verdict(judge, wide, tried)
        _log.info("%s: %s", candidate.name, verdict or "not needed")
        if verdict:
            taken.append(replace(candidate, reason=verdict))
            judge = wide
            continue
        missed += 1
        if missed == MISSES:
            break
    return taken


class _Judge:
    """What boosters of some features say. Each half of the training rows teaches one, when asked.

    Missing cells stand at a number, as in a large table (`lib/missing.py`): that halves the time.

    Attributes:
        training: rows that teach the booster of their half and judge that of the other.
        held_out: rows that judge both together.
    """

    def __init__(self, sample: Sample, training: Part, held_out: Part) -> None:
        places = places_of_missing(training.features, training.y)
        for part in (training, held_out):
            stand_in(part.features, places)
        self.sample, self.training, self.held_out = sample, training, held_out
        self.halves = [training.half(0), training.half(1)]
        self._boosters: dict[int, xgb.Booster] = {}

    def booster(self, side: int) -> xgb.Booster:
        """The one that a half judges: the other half taught it."""
        if side not in self._boosters:
            learnt = self.sample.learnt(self.halves[1 - side], self.halves[side], side)
            self._boosters[side] = learnt
        return self._boosters[side]

    def margins(self) -> np.ndarray:
        """Of training rows, each by the booster that it did not teach."""
        first, second = (margins_of(self.booster(side), self.halves[side]) for side in (0, 1))
        margins = np.empty((len(self.training.y), *first.shape[1:]))
        margins[::2], margins[1::2] = first, second
        return margins

    def half_losses(self, side: int) -> np.ndarray:
        """Of the rows of one half."""
        half = self.halves[side]
        return self.sample.losses(margins_of(self.booster(side), half), half)

    def losses(self) -> np.ndarray:
        """Of training rows."""
        return self.sample.losses(self.margins(), self.training)

    def held_out_losses(self) -> np.ndarray:
        """Of validation rows, by both boosters together."""
        both = [margins_of(self.booster(side), self.held_out) for side in (0, 1)]
        return self.sample.losses(np.mean(both, axis=0), self.held_out)


def _verdict(before: _Judge, after: _Judge, tried: int) -> str:
    """Why an interaction is taken; empty where it is not."""
    half = before.halves[0].weights
    if mean(after.half_losses(0), half) >= mean(before.half_losses(0), half):
        return ""  # which spares the other booster
    fall, errors = _fall(before.losses(), after.losses(), before.training.weights)
    if fall < WORTH or errors < NormalDist().inv_cdf(1 - CHANCE / tried):
        return ""
    losses = before.held_out_losses(), after.held_out_losses()
    seen, confirmed = _fall(*losses, before.held_out.weights)
    if seen < WORTH or confirmed < CONFIRMED:
        return ""
    return f"the loss of validation rows falls by {seen:.1%} ({confirmed:.1f} standard errors)"


def _fall(old: np.ndarray, new: np.ndarray, weights: np.ndarray | None) -> tuple[float, float]:
    """By what share a loss falls, and by how many standard errors."""
    gain = old - new
    most = np.quantile(np.abs(gain), 1 - FEW)
    usual = np.clip(gain, -most, most)
    errors = mean(usual, weights) / max(mean_error(usual, weights), TINY)
    return mean(gain, weights) / mean(old, weights), errors


def _candidates(
    judge: _Judge, plan: FeaturePlan, pairs: list[tuple[str, str]]
) -> tuple[list[Interaction], int]:
    """What training rows ask for the most, by what is left over, and of how many it was chosen."""
    gains = [feature_gains(judge.booster(side)) for side in (0, 1)]
    worth = {
        column.name: sum(gain.get(int(start), 0.0) for gain in gains)
        for column, start in zip(plan.columns, column_starts(plan), strict=True)
        if any(column.name in pair for pair in pairs)
    }
    leading = sorted(worth, key=lambda name: -worth[name])[:NUMBERS]
    tried = [
        interaction_of(*pair, operation)
        for pair in pairs
        if set(pair) <= set(leading)
        for operation in OPERATIONS
    ]
    training = judge.training
    settings = judge.sample.settings(len(training.y)) | COMPETING
    wide = _widened(plan, training, tried)
    stand_in(wide.features, places_of_missing(wide.features, wide.y))
    matrix = wide.matrix(settings["max_bin"])
    matrix.set_base_margin(judge.margins())
    found = feature_gains(xgb.train(settings, matrix, ROUNDS))
    width = training.features.shape[1]
    order = sorted(range(len(tried)), key=lambda place: -found.get(width + place, 0.0))
    return [tried[place] for place in order[:TRIED] if width + place in found], len(tried)


def _widened(plan: FeaturePlan, part: Part, interactions: list[Interaction]) -> Part:
    columns = {column.name: column for column in plan.columns}
    made = []
    for one in interactions:
        cells = (encode_column(columns[n], part.table.column(n))[:, 0] for n in one.columns)
        made.append(to_float32(combine(one, *cells)))
    return part.of(np.column_stack([part.features, *made]))
