"""A feature plan applied to a table."""

from typing import TypeAlias

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import encode_column
from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.features import FeaturePlan, to_float32
from shipway.components.lib.interactions import combine
from shipway.components.lib.kinds import is_moment, is_number, is_text
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.target_statistics import fold_statistics

FOLDS = 5


Rows: TypeAlias = pa.Table | StoredTable


def transform(plan: FeaturePlan, table: Rows) -> np.ndarray:
    """Make the model's rows of raw rows.

    Returns:
        float32, C order, shape (n, k), with NaN for what is missing.

    Raises:
        DataError: a column is missing or of another type.
    """
    check_table(plan, table)
    return _filled(plan, table, {}, _room(plan, table))


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
    many = [column.name for column in plan.columns if column.kind == "category_many"]
    statistics = {}
    if many:
        y = plan.target.encode(table.column(plan.label))
        groups = table.column(plan.group_column) if plan.group_column else None
        folds = _folds(table.num_rows, groups, plan.seed)
        for name in many:
            found = fold_statistics(table.column(name), y, plan.target, folds)
            statistics[name] = to_float32(found)[part]
    return _filled(plan, table, statistics, _room(plan, table, part) if out is None else out, part)


def _room(plan: FeaturePlan, table: Rows, part: slice = slice(None)) -> np.ndarray:
    rows = len(range(table.num_rows)[part])
    return np.empty((rows, len(plan.feature_names)), dtype=np.float32)


def _filled(
    plan: FeaturePlan,
    table: Rows,
    known: dict[str, np.ndarray],
    out: np.ndarray,
    part: slice = slice(None),
) -> np.ndarray:
    """Fill rows with features, block by block; of some columns they are known already."""
    names = [column.name for column in plan.columns if column.name not in known]
    names += {column.other for column in plan.columns} - {"", *names}
    names = names or list(known)[:1]  # which tells how many rows there are
    wanted = {name for interaction in plan.interactions for name in interaction.columns}
    start = 0
    for block in table.blocks(names, part) if isinstance(table, StoredTable) else [table[part]]:
        stop, left = start + block.num_rows, 0
        paired: dict[str, np.ndarray] = {}  # not yet rounded
        for column in plan.columns:
            right = left + len(column.outputs)
            if column.name in known:
                out[start:stop, left:right] = known[column.name][start:stop]
            else:
                other = block.column(column.other) if column.other else None
                features = encode_column(column, block.column(column.name), other)
                out[start:stop, left:right] = to_float32(features)
                if column.name in wanted:
                    paired[column.name] = features[:, 0]
            left = right
        for place, interaction in enumerate(plan.interactions, left):
            cells = (paired[name] for name in interaction.columns)
            out[start:stop, place] = to_float32(combine(interaction, *cells))
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
        return draw.permutation(rows) % FOLDS
    codes = groups.combine_chunks().dictionary_encode().indices.fill_null(0).to_numpy()
    return np.asarray(draw.integers(0, FOLDS, codes.max() + 1)[codes])
