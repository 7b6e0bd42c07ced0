"""A feature plan applied to a table."""

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import encode_column
from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.features import FeaturePlan, to_float32
from shipway.components.lib.kinds import is_moment, is_number, is_text
from shipway.components.lib.target_statistics import fold_statistics

FOLDS = 5


def transform(plan: FeaturePlan, table: pa.Table) -> np.ndarray:
    """Make the model's rows of raw rows.

    Returns:
        float32, C order, shape (n, k), with NaN for what is missing.

    Raises:
        DataError: a column is missing or of another type.
    """
    check_table(plan, table)
    blocks = [encode_column(column, table.column(column.name)) for column in plan.columns]
    return _rounded(blocks, table.num_rows)


def transform_training(plan: FeaturePlan, table: pa.Table) -> np.ndarray:
    """As `transform`, for the very rows that the plan was fitted on.

    Statistics of the target are taken from the other folds, so that no row sees its own label.

    Raises:
        DataError: as `transform`, or the label is missing.
    """
    check_table(plan, table)
    if plan.label not in table.column_names:
        raise DataError(f"The training rows lack the label '{plan.label}'.")
    y = plan.target.encode(table.column(plan.label))
    groups = table.column(plan.group_column) if plan.group_column else None
    folds = _folds(table.num_rows, groups, plan.seed)
    blocks = []
    for column in plan.columns:
        values = table.column(column.name)
        if column.kind == "category_many":
            blocks.append(fold_statistics(values, y, plan.target, folds))
        else:
            blocks.append(encode_column(column, values))
    return _rounded(blocks, table.num_rows)


def check_table(plan: FeaturePlan, table: pa.Table) -> None:
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


def _rounded(blocks: list[np.ndarray], rows: int) -> np.ndarray:
    if not blocks:
        return np.empty((rows, 0), dtype=np.float32)
    return np.ascontiguousarray(np.hstack([to_float32(block) for block in blocks]))


def _folds(rows: int, groups: pa.ChunkedArray | None, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    if groups is None:
        return draw.permutation(rows) % FOLDS
    codes = groups.combine_chunks().dictionary_encode().indices.fill_null(0).to_numpy()
    return np.asarray(draw.integers(0, FOLDS, codes.max() + 1)[codes])
