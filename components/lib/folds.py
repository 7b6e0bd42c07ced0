"""Folds of training rows: whole groups, equal shares of each class, or in the order of time."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.moments import times_of
from shipway.components.lib.transform import Rows

SMALL = 5_000  # rows, training and validation together, below which each of them is needed
TIME_FOLDS = 3
BLOCKS = 30  # of rows in the order of time, whose losses are taken to depend on each other
FIRST_SHARE = 0.3  # a fold in time order trains on so many of the rows at least


def drawn_folds(plan: FeaturePlan, rows: Rows, folds: int, seed: int) -> Iterator[np.ndarray]:
    """The held-out rows of each fold: whole groups, or equal shares of each class.

    Args:
        plan: knows the label, and the column of groups.
        rows: raw.
        folds: how many; fewer where there are fewer rows or groups.
        seed: of the draw.

    Yields:
        bool of shape (n,).

    Raises:
        DataError: there is one row, or one group.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    y = plan.target.encode(rows.column(plan.label))
    groups, apart = None, len(y)
    if plan.group_column:
        groups = group_codes(rows.column(plan.group_column))
        apart = len(np.unique(groups))
    if apart < 2:
        what = f"one value of '{plan.group_column}'" if plan.group_column else "one row"
        raise DataError(
            f"There is {what} to train on, and folds need two. Bring more, or leave out tuning and "
            "quality='best'."
        )
    folds = min(folds, apart)
    splitter = KFold(folds, shuffle=True, random_state=seed)
    if plan.group_column:
        splitter = GroupKFold(folds)
    elif plan.target.classes and np.bincount(y).max() >= folds:
        splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for _, held in splitter.split(np.zeros(len(y)), y, groups):
        inside = np.zeros(len(y), dtype=bool)
        inside[held] = True
        yield inside


def split_in_time(rows: Rows, held_out: Rows, name: str) -> bool:
    """Whether no validation row is earlier than a training row.

    Args:
        rows: of training, raw.
        held_out: of validation, raw.
        name: the column that orders rows in time; empty where order does not matter.

    Raises:
        DataError: there is no such column.
    """
    if not name:
        return False
    if name not in rows.column_names:
        raise DataError(
            f"The training rows have no column '{name}' to order them in time by."
            f"{nearest(name, rows.column_names)} Name one that they have, or leave it empty."
        )
    times, later = (times_of(table.column(name)) for table in (rows, held_out))
    return bool(np.nanmax(times) <= np.nanmin(later))


def folds_in_time(
    rows: Rows, held_out: Rows, name: str
) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Earlier and later training rows of each fold, the earliest fold first; none, if too few.

    Folds hold out as many rows as the validation split has. Rows of one time stay together.

    Args:
        rows: of training, raw.
        held_out: of validation, raw.
        name: the column that orders rows in time; empty where order does not matter.

    Returns:
        Numbers of rows, ascending; None where the validation split is not later than the training
        rows: it was not split so.

    Raises:
        DataError: there is no such column.
    """
    if not split_in_time(rows, held_out, name):
        return None
    times, later = times_of(rows.column(name)), held_out.num_rows
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    found: list[tuple[np.ndarray, np.ndarray]] = []
    end = len(order)
    while len(found) < TIME_FOLDS - 1:
        start = max(end - later, 0)
        start = int(np.searchsorted(ordered, ordered[start], "left"))
        if start < FIRST_SHARE * (len(order) + later) or start >= end:
            break
        found.append((np.sort(order[:start]), np.sort(order[start:end])))
        end = start
    return found[::-1]


def related_rows(plan: FeaturePlan, rows: Rows, time_column: str) -> np.ndarray | None:
    """The number of the group, or stretch of time, of each row; None where none depend so.

    Queries of a ranking are one loss each.
    """
    if plan.target.ranked:
        return None
    if time_column:
        return time_blocks(rows, time_column)
    return group_codes(rows.column(plan.group_column)) if plan.group_column else None


def group_codes(column: pa.ChunkedArray) -> np.ndarray:
    """The number of each row's group; rows without one are of a group of their own."""
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.fill_null(len(encoded.dictionary)).to_numpy())


def time_blocks(rows: Rows, name: str) -> np.ndarray:
    """The number of each row's stretch of time: all stretches hold equally many rows."""
    order = np.argsort(times_of(rows.column(name)), kind="stable")
    blocks = np.empty(len(order), dtype=np.int64)
    blocks[order] = np.arange(len(order)) * min(BLOCKS, len(order)) // len(order)
    return blocks
