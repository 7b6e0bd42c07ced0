"""Which rows judge a trial: the validation split, folds of a small table, or folds in time order.

Folds never see the test split. What a plan has learnt from labels (statistics of categories) is
learnt again from the rows that a fold trains on, so that no fold's judge has taught its features.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from shipway.components.lib.constraints import safe_names
from shipway.components.lib.encoders import ColumnPlan
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.folds import (
    SMALL,
    drawn_folds,
    folds_in_time,
    related_rows,
)
from shipway.components.lib.memory import rows_that_fit
from shipway.components.lib.queries import by_query, labels_of
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.target_statistics import category_codes, category_statistics
from shipway.components.lib.transform import Rows
from shipway.components.lib.weights import row_weights
from shipway.components.tune.fold import Block, Fold

FOLDS = 5
FEW, SHARE, MANY = 10_000, 0.25, 100_000
# Tables that are not small are judged by folds, too, where there is time: some 50 trials and the
# finalists are each trained five times.
MODERATE, CELLS_A_SECOND = 20_000, 2_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Folds:
    """How trials are judged.

    Attributes:
        scheme: "validation split", "cross-validation" or "time order".
        folds: the last one is the given split, but for cross-validation.
        names: of the features, as XGBoost takes them.
    """

    scheme: str
    folds: list[Fold]
    names: list[str]

    @property
    def in_time(self) -> bool:
        """Whether each fold is later than the one before, and trains on its rows, too."""
        return self.scheme == "time order"


def folds_of(
    plan: FeaturePlan,
    rows: StoredTable,
    held_out: StoredTable,
    *,
    time_column: str = "",
    balance: bool = False,
    seed: int = 0,
    seconds: float = 0.0,
) -> Folds:
    """Choose how trials are judged, and make the rows.

    Args:
        plan: fitted on the training rows.
        rows: of training, raw.
        held_out: of validation, raw.
        time_column: orders rows in time; empty where order does not matter.
        balance: whether all classes weigh alike.
        seed: of folds and samples.
        seconds: that the tuning may take.

    Raises:
        DataError: a table does not fit the plan, or the time column is not there.
    """
    names = safe_names(plan)
    in_time = folds_in_time(rows, held_out, time_column)
    if in_time is not None:
        earlier = []
        for numbers in in_time:
            past, future = (_some(rows, part, MANY, seed) for part in numbers)
            earlier.append(_fold(relearnt(plan, past), past, future, balance, time_column))
        last = _given(plan, rows, held_out, balance, seed, time_column)
        return Folds("time order", [*earlier, last], names)
    total = rows.num_rows + held_out.num_rows
    ample = total * len(names) <= seconds * CELLS_A_SECOND
    if total >= (MODERATE if ample else SMALL):
        return Folds("validation split", [_given(plan, rows, held_out, balance, seed)], names)
    pool = pa.concat_tables(
        table.take(range(table.num_rows), rows.column_names) for table in (rows, held_out)
    )
    folds = []
    for inside in drawn_folds(plan, pool, FOLDS, seed):
        past, future = pool.filter(pa.array(~inside)), pool.filter(pa.array(inside))
        folds.append(_fold(relearnt(plan, past), past, future, balance))
    return Folds("cross-validation", folds, names)


def sample_rows(rows: int) -> int:
    """How many of so many rows a trial sees."""
    return max(FEW, min(int(SHARE * rows), MANY))


def _some(table: StoredTable, numbers: np.ndarray, most: int, seed: int) -> pa.Table:
    """Rows by number, so many of them at most."""
    if len(numbers) > most:
        numbers = np.sort(np.random.default_rng(seed).choice(numbers, most, replace=False))
    return table.take(numbers, table.column_names)


def _given(
    plan: FeaturePlan,
    rows: StoredTable,
    held_out: StoredTable,
    balance: bool,
    seed: int,
    time_column: str = "",
) -> Fold:
    """The given split: all of its rows, or as many as the memory has room for."""
    most = rows_that_fit(len(plan.feature_names))
    if rows.num_rows + held_out.num_rows <= most:
        return _fold(plan, rows, held_out, balance, time_column)
    share = most / (rows.num_rows + held_out.num_rows)
    past, future = (
        _some(table, np.arange(table.num_rows), int(share * table.num_rows), seed)
        for table in (rows, held_out)
    )
    _log.info("%d of %d training rows fit in memory", past.num_rows, rows.num_rows)
    return _fold(relearnt(plan, past), past, future, balance, time_column)


def relearnt(plan: FeaturePlan, rows: pa.Table) -> FeaturePlan:
    """The plan with what it knows of labels learnt from other rows."""
    y = plan.target.encode(rows.column(plan.label))
    learn = {"category": category_codes, "category_many": category_statistics}

    def again(column: ColumnPlan) -> ColumnPlan:
        if column.kind not in learn:
            return column
        table, unseen = learn[column.kind](rows.column(column.name), y, plan.target)
        return replace(column, table=table, unseen=unseen)

    return replace(plan, columns=[again(column) for column in plan.columns])


def _fold(
    plan: FeaturePlan, rows: Rows, held_out: Rows, balance: bool, time_column: str = ""
) -> Fold:
    blocks = []
    for table, matrix in (
        (rows, plan.transform_training(rows)),
        (held_out, plan.transform(held_out)),
    ):
        y = labels_of(plan, table)
        block = Block(matrix, y, row_weights(plan, table, y, balance))
        blocks.append(block.take(by_query(y)) if plan.target.ranked else block)
    training, judge = blocks
    return Fold(training, replace(judge, related=related_rows(plan, held_out, time_column)))
