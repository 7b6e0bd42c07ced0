"""The feature plan: how a raw row becomes the model's row, in training, in batches and in serving.

Fitted on the training split alone and kept as JSON. Nulls stay nulls (NaN); unseen categories go
where training put rare ones. All features are made in float64 and rounded to float32 once.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from shipway.components.lib.encoders import ColumnPlan, encode_column, encoder_of, numbers
from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.kinds import is_moment, is_number, is_text, kind_of
from shipway.components.lib.target_statistics import (
    category_codes,
    category_statistics,
    fold_statistics,
    statistic_names,
)
from shipway.components.lib.task import Target

PARTS = ("month", "day", "weekday", "hour", "days")
FOLDS = 5


@dataclass(frozen=True)
class DroppedColumn:
    """A raw column that the model does not use, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class FeaturePlan:
    """What becomes of every raw column.

    Attributes:
        label: the column to predict.
        target: its task and classes.
        columns: the raw columns that are used, in table order.
        dropped: the raw columns that are not.
        group_column: rows of one group stay in one fold of the out-of-fold statistics.
        seed: draws the folds.
    """

    label: str
    target: Target
    columns: list[ColumnPlan]
    dropped: list[DroppedColumn]
    group_column: str = ""
    seed: int = 0

    @property
    def feature_names(self) -> list[str]:
        """Names of the model's columns, in order."""
        return [output for column in self.columns for output in column.outputs]

    def transform(self, table: pa.Table) -> np.ndarray:
        """Make the model's rows of raw rows.

        Returns:
            float32, C order, shape (n, k), with NaN for what is missing.

        Raises:
            DataError: a column is missing or of another type.
        """
        check_table(self, table)
        blocks = [encode_column(column, table.column(column.name)) for column in self.columns]
        return _rounded(blocks, table.num_rows)

    def transform_training(self, table: pa.Table) -> np.ndarray:
        """As `transform`, for the very rows that the plan was fitted on.

        Statistics of the target are taken from the other folds, so that no row sees its own label.

        Raises:
            DataError: as `transform`, or the label is missing.
        """
        check_table(self, table)
        if self.label not in table.column_names:
            raise DataError(f"The training rows lack the label '{self.label}'.")
        y = self.target.encode(table.column(self.label))
        groups = table.column(self.group_column) if self.group_column else None
        folds = _folds(table.num_rows, groups, self.seed)
        blocks = []
        for column in self.columns:
            values = table.column(column.name)
            if column.kind == "category_many":
                blocks.append(fold_statistics(values, y, self.target, folds))
            else:
                blocks.append(encode_column(column, values))
        return _rounded(blocks, table.num_rows)

    def row_transformer(self) -> Callable[[Mapping[str, Any]], np.ndarray]:
        """The lean way for one row: cells as in JSON, by raw column name; missing ones are null.

        Returns:
            A function from a row to float32 of shape (k,), equal to `transform` to the bit.
        """
        steps = [
            (column.name, encoder_of(column), (math.nan,) * len(column.outputs))
            for column in self.columns
        ]

        def transform_row(row: Mapping[str, Any]) -> np.ndarray:
            values: list[float] = []
            for name, encode, missing in steps:
                cell = row.get(name)
                values.extend(missing if cell is None else encode(cell))
            return to_float32(np.array(values, dtype=np.float64))

        return transform_row

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "label": self.label,
            "target": self.target.to_json(),
            "columns": [column.to_json() for column in self.columns],
            "dropped": [asdict(column) for column in self.dropped],
            "group_column": self.group_column,
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "FeaturePlan":
        """The inverse of `to_json`."""
        return cls(
            value["label"],
            Target.from_json(value["target"]),
            [ColumnPlan(**column) for column in value["columns"]],
            [DroppedColumn(**column) for column in value["dropped"]],
            value["group_column"],
            value["seed"],
        )


def to_float32(values: np.ndarray) -> np.ndarray:
    """Round features to the model's type, in one way for training, batches and serving."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    infinite = np.isinf(rounded)
    if infinite.any():  # beyond float32, which XGBoost refuses
        rounded[infinite] = np.nan
    return rounded


def _rounded(blocks: Sequence[np.ndarray], rows: int) -> np.ndarray:
    if not blocks:
        return np.empty((rows, 0), dtype=np.float32)
    return np.ascontiguousarray(np.hstack([to_float32(block) for block in blocks]))


def _folds(rows: int, groups: pa.ChunkedArray | None, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    if groups is None:
        return draw.permutation(rows) % FOLDS
    codes = groups.combine_chunks().dictionary_encode().indices.fill_null(0).to_numpy()
    return np.asarray(draw.integers(0, FOLDS, codes.max() + 1)[codes])


def fit_plan(
    table: pa.Table,
    label: str,
    target: Target,
    *,
    time_column: str = "",
    group_column: str = "",
    seed: int = 0,
) -> FeaturePlan:
    """Fit a plan on the training rows.

    Args:
        table: the training rows, label included.
        label: the column to predict.
        target: its task and classes.
        time_column: the column that orders rows in time: of it, only parts that come again.
        group_column: the column that groups rows; not a feature.
        seed: draws the folds of the out-of-fold statistics.

    Raises:
        DataError: no column is left to learn from.
    """
    y = target.encode(table.column(label))
    columns: list[ColumnPlan] = []
    dropped: list[DroppedColumn] = []
    seen: dict[bytes, str] = {}
    for name in table.column_names:
        if name == label:
            continue
        values = table.column(name)
        kind, reason = kind_of(values)
        if name == group_column:
            kind, reason = "drop", "it groups the rows"
        plan = None
        if kind != "drop":
            plan = _column_plan(name, kind, reason, values, y, target, name == time_column)
            reason = "no part of it varies"
        if plan is None or not plan.outputs:
            dropped.append(DroppedColumn(name, reason))
            continue
        twin = seen.setdefault(encode_column(plan, values).tobytes(), name)
        if twin != name:
            dropped.append(DroppedColumn(name, f"it repeats column '{twin}'"))
            continue
        columns.append(plan)
    if not columns:
        reasons = "; ".join(f"'{column.name}': {column.reason}" for column in dropped[:10])
        raise DataError(
            f"No column is left to learn '{label}' from ({reasons or 'there is no other column'}). "
            "Exclude fewer columns, or bring ones that vary."
        )
    return FeaturePlan(label, target, columns, dropped, group_column, seed)


def _column_plan(
    name: str,
    kind: str,
    reason: str,
    values: pa.ChunkedArray,
    y: np.ndarray,
    target: Target,
    is_time: bool,
) -> ColumnPlan:
    nullable = bool(values.null_count)
    if kind == "number":
        finite = numbers(values)
        nullable = bool(np.isnan(finite).any())
        low, high = float(np.nanmin(finite)), float(np.nanmax(finite))
        return ColumnPlan(name, kind, "number", [name], reason, nullable, low, high)
    if kind == "datetime":
        return _moment_plan(name, reason, values, nullable, is_time)
    if kind == "category":
        table, unseen = category_codes(values, y, target)
        return ColumnPlan(
            name, kind, "string", [name], reason, nullable,
            categories=sorted(table), table=table, unseen=unseen,
        )  # fmt: skip
    if kind == "category_many":
        table, unseen = category_statistics(values, y, target)
        outputs = [f"{name}={part}" for part in statistic_names(target)]
        return ColumnPlan(
            name, kind, "string", outputs, reason, nullable, table=table, unseen=unseen
        )
    dtype = "boolean" if pa.types.is_boolean(values.type) else "string"
    plan = ColumnPlan(name, kind, dtype, [name], reason, nullable)
    # A word that is no number, or neither yes nor no, is as good as missing.
    return replace(plan, nullable=bool(np.isnan(encode_column(plan, values)).any()))


def _moment_plan(
    name: str, reason: str, values: pa.ChunkedArray, nullable: bool, is_time: bool
) -> ColumnPlan:
    def plan(parts: Sequence[str]) -> ColumnPlan:
        outputs = [f"{name}.{part}" for part in parts]
        return ColumnPlan(name, "datetime", "string", outputs, reason, nullable, parts=list(parts))

    matrix = encode_column(plan(PARTS), values)
    varies = [
        part
        for index, part in enumerate(PARTS)
        if len(np.unique(matrix[:, index][~np.isnan(matrix[:, index])])) > 1
        # The date itself leaves its training range at once where rows are split by time.
        and not (part == "days" and is_time)
    ]
    return plan(varies)


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
