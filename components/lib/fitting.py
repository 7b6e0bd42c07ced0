"""Fitting a feature plan on the training rows."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import encode_column, numbers
from shipway.components.lib.encoders import ColumnPlan
from shipway.components.lib.errors import DataError
from shipway.components.lib.features import DroppedColumn, FeaturePlan
from shipway.components.lib.kinds import kind_of, reviewed_kind
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.target_statistics import (
    category_codes,
    category_statistics,
    statistic_names,
)
from shipway.components.lib.task import Target

PARTS = ("month", "day", "weekday", "hour", "days")


def fit_plan(
    table: pa.Table | StoredTable,
    label: str,
    target: Target,
    *,
    time_column: str = "",
    group_column: str = "",
    weight_column: str = "",
    seed: int = 0,
    reviewed: Mapping[str, str] | None = None,
) -> FeaturePlan:
    """Fit a plan on the training rows.

    Args:
        table: the training rows, label included.
        label: the column to predict.
        target: its task and classes.
        time_column: the column that orders rows in time: of it, only parts that come again.
        group_column: the column that groups rows; not a feature.
        weight_column: the column that weighs rows; not a feature.
        seed: draws the folds of the out-of-fold statistics.
        reviewed: kinds of columns by name, as a reviewed schema states them: they overrule.

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
        stated = reviewed.get(name, "") if reviewed else ""
        kind, reason = (reviewed_kind(values, stated) if stated else None) or kind_of(values)
        if name == group_column:
            kind, reason = "drop", "it groups the rows"
        if name == weight_column:
            kind, reason = "drop", "it weighs the rows"
        plan = None
        if kind != "drop":
            plan = _column_plan(name, kind, reason, values, y, target, name == time_column)
            reason = "no part of it varies"
        if plan is None or not plan.outputs:
            dropped.append(DroppedColumn(name, reason))
            continue
        content = hashlib.blake2b(np.ascontiguousarray(encode_column(plan, values)).data).digest()
        twin = seen.setdefault(content, name)
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
    return FeaturePlan(label, target, columns, dropped, group_column, seed, weight_column)


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
