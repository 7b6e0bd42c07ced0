"""Fitting a feature plan on the training rows."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from shipway.components.lib.column_fits import Raw, plan_column
from shipway.components.lib.columns import encode_column
from shipway.components.lib.encoders import ColumnPlan
from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.features import DroppedColumn, FeaturePlan
from shipway.components.lib.kinds import kind_of
from shipway.components.lib.stated import Asked, asked_kind, reviewed_kind
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.task import Target

NOTHING = Asked()


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
    asked: Mapping[str, Asked] | None = None,
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
        asked: what the overrides ask of columns, by name: it overrules all else.

    Raises:
        ConfigurationError: a column cannot be what is asked of it.
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
        wish = asked.get(name, NOTHING) if asked else NOTHING
        stated = reviewed.get(name, "") if reviewed else ""
        kind, reason = _kind(name, values, wish, stated)
        if name == group_column:
            kind, reason = "drop", "it groups the rows"
        if name == weight_column:
            kind, reason = "drop", "it weighs the rows"
        plan = None
        if kind != "drop":
            raw = Raw(name, kind, reason, values, _partner(table, wish), name == time_column)
            plan = plan_column(raw, wish, y, target)
            reason = "no part of it varies"
        if plan is None or not plan.outputs:
            dropped.append(DroppedColumn(name, reason))
            continue
        features = encode_column(plan, values, raw.other)
        content = hashlib.blake2b(np.ascontiguousarray(features).data).digest()
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
    _check_partners(columns, dropped)
    return FeaturePlan(label, target, columns, dropped, group_column, seed, weight_column)


def _partner(table: pa.Table | StoredTable, wish: Asked) -> pa.ChunkedArray | None:
    """The column that a wish names beside its own, if it does."""
    name = wish.longitude or wish.reference
    return table.column(name) if name in table.column_names else None


def _kind(name: str, values: pa.ChunkedArray, wish: Asked, stated: str) -> tuple[str, str]:
    """The kind of a column and why: as asked, else as reviewed, else as it looks."""
    if wish.kind:
        return asked_kind(name, values, wish)
    return (reviewed_kind(values, stated) if stated else None) or kind_of(values)


def _check_partners(columns: Sequence[ColumnPlan], dropped: Sequence[DroppedColumn]) -> None:
    """Refuse a column that is made with another which the model does not read as it must."""
    kinds = {column.name: column.kind for column in columns}
    why = {column.name: f"is dropped: {column.reason}" for column in dropped}
    for column in columns:
        wanted = "datetime" if column.kind == "datetime" else "number"
        if column.other and kinds.get(column.other) != wanted:
            told = why.get(column.other, f"is used as {kinds.get(column.other)}, not {wanted}")
            raise ConfigurationError(
                f"features_uri: column '{column.name}' is made with '{column.other}', which {told}."
                " Name another column, or ask for another kind."
            )
