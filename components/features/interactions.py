"""Interactions found by need: features of two numbers that make validation rows less wrong.

Training rows name the candidates: one half teaches a booster, and on what it leaves over in the
other half, candidates compete with the features that there are. Validation rows then confirm them,
the best first, each beside those that were confirmed before, by boosters of two seeds with and
without it. It is taken where the loss of each falls by a share worth having, and that of the two
together further than chance would have it, given how many are tried (Bonferroni). The first that
fails ends the search, so that a table that needs none costs little time.
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
from shipway.components.lib.stored_table import StoredTable

MIN_ROWS = 500  # of validation
NUMBERS = 6  # columns that may take part: those that matter most
TRIED = 4
FEW = 0.01  # of the rows, whose gains are cut to those of the others: no few rows decide
TINY = 1e-300
CHANCE = 0.05  # that noise is taken for an interaction
WORTH = 0.002  # of the loss
BOOSTERS = 2
ROUNDS, DEPTH = 30, 4  # of the boosters in which candidates compete
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
    training, held_out = sample.training, sample.held_out
    judge = _Judge(sample, training, held_out)
    for candidate in _candidates(sample, plan, pairs):
        wide = _Judge(
            sample, _widened(plan, training, [candidate]), _widened(plan, held_out, [candidate])
        )
        verdict = _verdict(judge, wide)
        _log.info("%s: %s", candidate.name, verdict or "not needed")
        if not verdict:
            break
        taken.append(replace(candidate, reason=verdict))
        judge, training, held_out = wide, wide.training, wide.held_out
    return taken


class _Judge:
    """What boosters of some features say of validation rows, one a seed, as they are asked."""

    def __init__(self, sample: Sample, training: Part, held_out: Part) -> None:
        self.training, self.held_out = training, held_out
        self._sample = sample
        self._margins: list[np.ndarray] = []

    def losses(self, number: int) -> np.ndarray:
        """The losses of rows by the booster of one seed."""
        while len(self._margins) <= number:
            booster = self._sample.learnt(self.training, self.held_out, len(self._margins))
            self._margins.append(margins_of(booster, self.held_out))
        return self._sample.losses(self._margins[number], self.held_out)

    def losses_of_all(self) -> np.ndarray:
        """The losses of rows by all boosters together, which depend less on chance."""
        return self._sample.losses(np.mean(self._margins, axis=0), self.held_out)


def _verdict(before: _Judge, after: _Judge) -> str:
    """Why an interaction is taken; empty where it is not."""
    weights = before.held_out.weights
    for number in range(BOOSTERS):
        gain = before.losses(number) - after.losses(number)
        if mean(gain, weights) < WORTH * mean(before.losses(number), weights):
            return ""
    gain = before.losses_of_all() - after.losses_of_all()
    most = np.quantile(np.abs(gain), 1 - FEW)
    usual = np.clip(gain, -most, most)
    errors = mean(usual, weights) / max(mean_error(usual, weights), TINY)
    if errors < NormalDist().inv_cdf(1 - CHANCE / TRIED):
        return ""
    share = mean(gain, weights) / mean(before.losses_of_all(), weights)
    return f"the loss of validation rows falls by {share:.1%} ({errors:.1f} standard errors)"


def _candidates(
    sample: Sample, plan: FeaturePlan, pairs: list[tuple[str, str]]
) -> list[Interaction]:
    """What training rows ask for the most: by what a half leaves over that taught nothing of it."""
    margins, gains = _left_over(sample)
    starts = column_starts(plan)
    worth = {
        column.name: gains.get(int(start), 0.0)
        for column, start in zip(plan.columns, starts, strict=True)
        if any(column.name in pair for pair in pairs)
    }
    leading = sorted(worth, key=lambda name: -worth[name])[:NUMBERS]
    tried = [
        interaction_of(*pair, operation)
        for pair in pairs
        if set(pair) <= set(leading)
        for operation in OPERATIONS
    ]
    settings = sample.settings(len(margins)) | {"max_depth": DEPTH, "colsample_bytree": 1.0}
    matrix = _widened(plan, sample.training, tried).matrix(settings["max_bin"])
    matrix.set_base_margin(margins)
    found = feature_gains(xgb.train(settings, matrix, ROUNDS))
    width = sample.training.features.shape[1]
    order = sorted(range(len(tried)), key=lambda place: -found.get(width + place, 0.0))
    return [tried[place] for place in order[:TRIED] if width + place in found]


def _left_over(sample: Sample) -> tuple[np.ndarray, dict[int, float]]:
    """Margins of training rows by a booster of the other half, and the gains of features."""
    rows = np.arange(len(sample.training.y))
    halves = [sample.training.take(rows[half::2]) for half in (0, 1)]
    parts = []
    gains: dict[int, float] = {}
    for mine, other in (halves, halves[::-1]):
        booster = sample.learnt(other, mine, 0)
        parts.append(margins_of(booster, mine))
        for feature, gain in feature_gains(booster).items():
            gains[feature] = gains.get(feature, 0.0) + gain
    margins = np.empty((len(rows), *parts[0].shape[1:]))
    margins[::2], margins[1::2] = parts
    return margins, gains


def _widened(plan: FeaturePlan, part: Part, interactions: list[Interaction]) -> Part:
    columns = {column.name: column for column in plan.columns}
    made = []
    for one in interactions:
        cells = (encode_column(columns[n], part.table.column(n))[:, 0] for n in one.columns)
        made.append(to_float32(combine(one, *cells)))
    return part.of(np.column_stack([part.features, *made]))
