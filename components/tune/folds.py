"""Which rows judge a trial: the validation split, folds of a small table, or folds in time order.

Folds never see the test split. What a plan has learnt from labels (statistics of categories) is
learnt again from the rows that a fold trains on, so that no fold's judge has taught its features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import xgboost as xgb

from shipway.components.lib.columns import encode_column, numbers
from shipway.components.lib.constraints import safe_names
from shipway.components.lib.encoders import ColumnPlan
from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.kinds import is_number
from shipway.components.lib.target_statistics import category_codes, category_statistics
from shipway.components.lib.weights import row_weights

SMALL = 5_000
FOLDS = 5
TIME_FOLDS = 3
FIRST_SHARE = 0.3  # a fold in time order trains on so many of the rows at least


@dataclass(frozen=True)
class Block:
    """Rows as the model sees them.

    Attributes:
        matrix: float32 of shape (n, k).
        y: labels, shape (n,).
        weights: shape (n,), or None.
    """

    matrix: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None

    def take(self, rows: np.ndarray) -> "Block":
        """Some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Block(self.matrix[rows], self.y[rows], weights)


@dataclass(frozen=True)
class Fold:
    """Rows to train on, and rows to judge by."""

    training: Block
    held_out: Block

    def sampled(self, rows: int, seed: int) -> "Fold":
        """The fold with so many rows of either kind at most."""
        draw = np.random.default_rng(seed)
        parts = []
        for block in (self.training, self.held_out):
            total = len(block.y)
            taken = np.sort(draw.permutation(total)[:rows]) if total > rows else np.arange(total)
            parts.append(block.take(taken))
        return Fold(*parts)

    def matrices(
        self, names: Sequence[str], bins: int, threads: int
    ) -> tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix]:
        """XGBoost's matrices of both, which all trials share."""
        train, held = self.training, self.held_out
        more = {"feature_names": names, "max_bin": bins, "nthread": threads or None}
        first = xgb.QuantileDMatrix(train.matrix, train.y, weight=train.weights, **more)
        return first, xgb.QuantileDMatrix(
            held.matrix, held.y, weight=held.weights, ref=first, **more
        )


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


def folds_of(
    plan: FeaturePlan,
    rows: pa.Table,
    held_out: pa.Table,
    *,
    time_column: str = "",
    balance: bool = False,
    seed: int = 0,
) -> Folds:
    """Choose how trials are judged, and make the rows.

    Args:
        plan: fitted on the training rows.
        rows: of training, raw.
        held_out: of validation, raw.
        time_column: orders rows in time; empty where order does not matter.
        balance: whether all classes weigh alike.
        seed: of folds that are drawn.

    Raises:
        DataError: a table does not fit the plan, or the time column is not there.
    """
    given, names = _fold(plan, rows, held_out, balance), safe_names(plan)
    if time_column and (in_time := _in_time(rows, held_out, time_column)):
        pool, cuts = in_time
        earlier = [
            _fold(relearnt(plan, past), past, future, balance)
            for past, future in ((pool.slice(0, a), pool.slice(a, b - a)) for a, b in cuts)
        ]
        return Folds("time order", [*earlier, given], names)
    if rows.num_rows + held_out.num_rows >= SMALL:
        return Folds("validation split", [given], names)
    pool = pa.concat_tables([rows, held_out.select(rows.column_names)])
    folds = []
    for inside in _drawn(plan, pool, seed):
        past, future = pool.filter(pa.array(~inside)), pool.filter(pa.array(inside))
        folds.append(_fold(relearnt(plan, past), past, future, balance))
    return Folds("cross-validation", folds, names)


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


def _fold(plan: FeaturePlan, rows: pa.Table, held_out: pa.Table, balance: bool) -> Fold:
    blocks = []
    for table, matrix in (
        (rows, plan.transform_training(rows)),
        (held_out, plan.transform(held_out)),
    ):
        y = plan.target.encode(table.column(plan.label))
        blocks.append(Block(matrix, y, row_weights(plan, table, y, balance)))
    return Fold(*blocks)


def _drawn(plan: FeaturePlan, pool: pa.Table, seed: int) -> Iterator[np.ndarray]:
    """The held-out rows of each fold: whole groups, or equal shares of each class."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    y = plan.target.encode(pool.column(plan.label))
    groups = None
    splitter = KFold(FOLDS, shuffle=True, random_state=seed)
    if plan.group_column:
        encoded = pool.column(plan.group_column).combine_chunks().dictionary_encode()
        groups = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
        splitter = GroupKFold(min(FOLDS, max(2, len(np.unique(groups)))))
    elif plan.target.classes and np.bincount(y).max() >= FOLDS:
        splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for _, held in splitter.split(np.zeros(len(y)), y, groups):
        inside = np.zeros(len(y), dtype=bool)
        inside[held] = True
        yield inside


def _in_time(
    rows: pa.Table, held_out: pa.Table, name: str
) -> tuple[pa.Table, list[tuple[int, int]]] | None:
    """All rows in time order, and from where to where earlier folds hold rows out.

    Folds are as long as the validation split. Rows of one time stay together.

    Returns:
        None where the validation split is not later than the training rows: it was not split so.
    """
    pool = pa.concat_tables([rows, held_out.select(rows.column_names)])
    if name not in pool.column_names:
        raise DataError(
            f"The training rows have no column '{name}' to order them in time by."
            f"{nearest(name, pool.column_names)}"
        )
    times = _times(pool.column(name), name)
    if not np.nanmax(times[: rows.num_rows]) < np.nanmin(times[rows.num_rows :]):
        return None
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    cuts: list[tuple[int, int]] = []
    end = rows.num_rows
    while len(cuts) < TIME_FOLDS - 1:
        start = max(end - held_out.num_rows, 0)
        start = int(np.searchsorted(ordered, ordered[start], "left"))
        if start < FIRST_SHARE * len(ordered) or start >= end:
            break
        cuts.append((start, end))
        end = start
    return pool.take(order), cuts[::-1]


def _times(column: pa.ChunkedArray, name: str) -> np.ndarray:
    if is_number(column.type):
        return numbers(column)
    days = ColumnPlan(name, "datetime", "string", [name], "", True, parts=["days"])
    return encode_column(days, column)[:, 0]
