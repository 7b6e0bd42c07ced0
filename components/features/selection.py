"""Feature selection: a column stays where it tells more than shuffled columns do.

In each of several seeded rounds a quick booster learns from the columns and a shuffled copy of
each. On validation rows, a column's worth is how much the loss rises when its cells are shuffled.
It wins a round where that is more than the worth of every shuffled copy.
M. Kursa and W. Rudnicki, "Feature selection with the Boruta package", Journal of Statistical
Software 36(11), 2010; worth by permutation as in L. Breiman, "Random forests", Machine Learning
45(1), 2001.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shipway.components.features.trials import Part, Sample, feature_gains, margins_of, sample_of
from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.features import DroppedColumn, FeaturePlan
from shipway.components.lib.losses import mean
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.task import Target

WAYS = ("none", "shadow")
ROUNDS, WINS = 5, 4
SMALL_TREES = {"eta": 0.2, "max_depth": 4, "max_bin": 64}
JUDGES = 5_000  # validation rows that tell the worth


def check_selection(way: str, target: Target) -> None:
    """Refuse a way to select that is unknown, or is not for a task.

    Raises:
        ConfigurationError: it is so.
    """
    if way not in WAYS:
        raise ConfigurationError(
            f"feature_selection='{way}' is unknown: it is {' or '.join(WAYS)}.{nearest(way, WAYS)}"
        )
    if way != "none" and target.ranked:
        raise ConfigurationError(
            "feature_selection is not for task='ranking', whose rows have no loss of their own. "
            "Leave it 'none'."
        )


def select(plan: FeaturePlan, rows: StoredTable, held_out: StoredTable) -> FeaturePlan:
    """The plan without the columns that tell no more than noise; one column stays in any case.

    Args:
        plan: fitted on the training rows.
        rows: of training, raw.
        held_out: of validation, raw.

    Raises:
        DataError: a table does not fit the plan.
    """
    sample = sample_of(plan, rows, held_out)
    stop = np.cumsum([len(column.outputs) for column in plan.columns])
    blocks = [
        np.arange(end - len(column.outputs), end)
        for end, column in zip(stop, plan.columns, strict=True)
    ]
    worths = [_worths(sample, blocks, number) for number in range(ROUNDS)]
    wins = sum(mine > shuffled.max() for mine, shuffled in worths)
    stays = wins >= WINS
    stays[np.argmax(sum(mine for mine, _ in worths))] = True
    partners = {column.other for column, kept in zip(plan.columns, stays, strict=True) if kept}
    kept, dropped = [], list(plan.dropped)
    for column, stay, won in zip(plan.columns, stays, wins, strict=True):
        if stay or column.name in partners:
            kept.append(column)
            continue
        reason = f"selection: in {won} of {ROUNDS} rounds it told more than shuffled columns"
        dropped.append(DroppedColumn(column.name, reason))
    return replace(plan, columns=kept, dropped=dropped)


def _worths(
    sample: Sample, blocks: Sequence[np.ndarray], number: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the columns are worth in one round, and what their shuffled copies are."""
    draw = np.random.default_rng([sample.seed, number])
    training, held_out = (
        _beside_shadows(part, draw) for part in (sample.training, sample.held_out)
    )
    booster = sample.learnt(training, held_out, number, SMALL_TREES)
    width = sample.training.features.shape[1]
    judges = held_out.take(np.sort(draw.permutation(len(held_out.y))[:JUDGES]))
    used = feature_gains(booster)
    before = mean(sample.losses(margins_of(booster, judges), judges), judges.weights)

    def worth(block: np.ndarray) -> float:
        if not any(feature in used for feature in block):
            return 0.0
        shuffled = judges.features.copy()
        shuffled[:, block] = judges.features[draw.permutation(len(judges.y))][:, block]
        losses = sample.losses(margins_of(booster, judges.of(shuffled)), judges)
        return mean(losses, judges.weights) - before

    own = [worth(block) for block in blocks]
    return np.array(own), np.array([worth(block + width) for block in blocks])


def _beside_shadows(part: Part, draw: np.random.Generator) -> Part:
    shadows = draw.permuted(part.features, axis=0)
    return part.of(np.hstack([part.features, shadows]))
