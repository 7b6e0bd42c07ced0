"""A feature plan applied to a table."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import encode_column
from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.features import FeaturePlan, to_float32
from shipway.components.lib.interactions import combine
from shipway.components.lib.kinds import is_moment, is_number, is_text
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.target_statistics import FoldStatistics

FOLDS = 5
NO_FOLDS = np.zeros(0, dtype=np.int8)


Rows: TypeAlias = pa.Table | StoredTable


def transform(plan: FeaturePlan, table: Rows, out: np.ndarray | None = None) -> np.ndarray:
    """Make the model's rows of raw rows.

    Args:
        plan: the plan.
        table: raw rows.
        out: as `transform_training`.

    Returns:
        float32, C order, shape (n, k), with NaN for what is missing.

    Raises:
        DataError: a column is missing or of another type.
    """
    check_table(plan, table)
    return _filled(plan, table, {}, _room(plan, table) if out is None else out)


def transform_training(
    plan: FeaturePlan,
    table: Rows,
    out: np.ndarray | None = None,
    part: slice = slice(None),
) -> np.ndarray:
    """As `transform`, for the very rows that the plan was fitted on.

    Statistics of the target are taken from the other folds, so that no row sees its own label.

    Args:
        plan: the plan.
        table: its rows, label included.
        out: where the model's rows go, float32 of shape (n, k), on disk perhaps; None makes room.
        part: rows that are wanted, of all that the statistics are taken of.

    Raises:
        DataError: as `transform`, or the label is missing.
    """
    check_table(plan, table)
    if plan.label not in table.column_names:
        raise DataError(f"The training rows lack the label '{plan.label}'.")
    statistics = {
        column.name: FoldStatistics(plan.target, FOLDS)
        for column in plan.columns
        if column.kind == "category_many"
    }
    folds = NO_FOLDS
    if statistics:
        groups = table.column(plan.group_column) if plan.group_column else None
        folds = _folds(table.num_rows, groups, plan.seed)
        _gather(plan, table, statistics, folds)
    return _filled(
        plan, table, statistics, _room(plan, table, part) if out is None else out, part, folds[part]
    )


def _gather(
    plan: FeaturePlan, table: Rows, statistics: dict[str, FoldStatistics], folds: np.ndarray
) -> None:
    y = plan.target.encode(table.column(plan.label))
    start = 0
    for block in _blocks(table, list(statistics)):
        stop = start + block.num_rows
        for name, found in statistics.items():
            found.add(block.column(name), y[start:stop], folds[start:stop])
        start = stop


def _blocks(table: Rows, names: list[str], part: slice = slice(None)) -> Iterable[pa.Table]:
    return table.blocks(names, part) if isinstance(table, StoredTable) else [table[part]]


def _room(plan: FeaturePlan, table: Rows, part: slice = slice(None)) -> np.ndarray:
    rows = len(range(table.num_rows)[part])
    return np.empty((rows, len(plan.feature_names)), dtype=np.float32)


def _filled(
    plan: FeaturePlan,
    table: Rows,
    statistics: dict[str, FoldStatistics],
    out: np.ndarray,
    part: slice = slice(None),
    folds: np.ndarray = NO_FOLDS,
) -> np.ndarray:
    """Fill rows with features, block by block; of some columns by the statistics of folds."""
    names = [column.name for column in plan.columns]
    names += sorted({column.other for column in plan.columns} - {"", *names})
    wanted = {name for interaction in plan.interactions for name in interaction.columns}
    start = 0
    for block in _blocks(table, names, part):
        stop, left = start + block.num_rows, 0
        paired: dict[str, np.ndarray] = {}  # not yet rounded
        for column in plan.columns:
            right = left + len(column.outputs)
            cells = block.column(column.name)
            if column.name in statistics:
                features = statistics[column.name].features(cells, folds[start:stop])
            else:
                other = block.column(column.other) if column.other else None
                features = encode_column(column, cells, other)
            out[start:stop, left:right] = to_float32(features)
            if column.name in wanted:
                paired[column.name] = features[:, 0]
            left = right
        for place, interaction in enumerate(plan.interactions, left):
            pair = (paired[name] for name in interaction.columns)
            out[start:stop, place] = to_float32(combine(interaction, *pair))
        start = stop
    return out


def check_table(plan: FeaturePlan, table: Rows) -> None:
    """Refuse a table that the plan cannot read.

    Raises:
        DataError: a column is missing or holds values of another type; the message names it.
    """
    names = table.column_names
    for column in plan.columns:
        if column.name not in names:
            raise DataError(
                f"Column '{column.name}' is missing; the model was trained with it."
                f"{nearest(column.name, names)} Bring it, or train without it."
            )
        held = table.schema.field(column.name).type
        fits = {
            "number": is_number(held),
            "boolean": pa.types.is_boolean(held),
            "string": is_text(held)
            or (column.kind == "datetime" and is_moment(held))
            or (column.kind == "text_number" and is_number(held)),
        }[column.dtype]
        if not fits and not pa.types.is_null(held):
            raise DataError(
                f"Column '{column.name}' holds {held}; the model was trained with {column.dtype} "
                "values. Convert it, or train again on such data."
            )


def _folds(rows: int, groups: pa.ChunkedArray | None, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    if groups is None:
        folds = np.resize(np.arange(FOLDS, dtype=np.int8), rows)
        draw.shuffle(folds)
        return folds
    codes = groups.combine_chunks().dictionary_encode().indices.fill_null(0).to_numpy()
    return np.asarray(draw.integers(0, FOLDS, codes.max() + 1).astype(np.int8)[codes])
