"""Fitting what becomes of one raw column, once its kind is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import encode_column, numbers
from shipway.components.lib.encoders import ColumnPlan, days_of
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.kinds import is_moment, is_number, is_text
from shipway.components.lib.orders import order_of
from shipway.components.lib.pairs import PLACES
from shipway.components.lib.stated import Asked, category_values
from shipway.components.lib.target_statistics import (
    category_codes,
    category_statistics,
    statistic_names,
)
from shipway.components.lib.task import Target
from shipway.components.lib.words import parse_moment

PARTS = ("month", "day", "weekday", "hour", "days")
POLE = 90
COVERED = 0.5  # of the rows, below which an order is a mistake


@dataclass(frozen=True)
class Raw:
    """A raw column of the training rows.

    Attributes:
        name: of the column.
        kind: as in `ColumnPlan`.
        reason: why it is of this kind.
        values: its cells.
        other: those of the column that is asked for beside it.
        is_time: whether it orders the rows in time.
    """

    name: str
    kind: str
    reason: str
    values: pa.ChunkedArray
    other: pa.ChunkedArray | None
    is_time: bool

    def plan(self, dtype: str, outputs: Sequence[str] | None = None) -> ColumnPlan:
        """A plan of the column; missing where training had nulls."""
        nullable = bool(self.values.null_count)
        names = [self.name] if outputs is None else list(outputs)
        return ColumnPlan(self.name, self.kind, dtype, names, self.reason, nullable)


def plan_column(raw: Raw, wish: Asked, y: np.ndarray, target: Target) -> ColumnPlan:
    """Fit the plan of a column; it has no outputs where no part of the column varies.

    Raises:
        ConfigurationError: the column does not hold what is asked of it.
    """
    if raw.kind in ("number", "coordinates"):
        return _number(raw, wish)
    if raw.kind == "datetime":
        return _moment(raw, wish)
    sent = "number" if is_number(raw.values.type) else "string"
    if raw.kind == "category":
        table, unseen = category_codes(raw.values, y, target)
        names = sorted(table, key=int if sent == "number" else None)
        return replace(raw.plan(sent), categories=names, table=table, unseen=unseen)
    if raw.kind == "category_many":
        table, unseen = category_statistics(raw.values, y, target)
        outputs = [f"{raw.name}={part}" for part in statistic_names(target)]
        return replace(raw.plan(sent, outputs), table=table, unseen=unseen)
    if raw.kind == "ordered":
        return _ordered(raw, wish, sent)
    if raw.kind == "text":
        return raw.plan("string", [f"{raw.name}#{bucket}" for bucket in range(wish.buckets)])
    if raw.kind == "clock":
        parts = list(wish.parts) or ["minutes"]
        plan = replace(raw.plan(sent, [f"{raw.name}.{part}" for part in parts]), parts=parts)
    elif raw.kind == "boolean" and pa.types.is_boolean(raw.values.type):
        plan = raw.plan("boolean")
    else:
        plan = raw.plan("string")
    # A word that is no number, or neither yes nor no, is as good as missing.
    missing = np.isnan(encode_column(plan, raw.values)).any()
    return replace(plan, nullable=bool(missing))


def _number(raw: Raw, wish: Asked) -> ColumnPlan:
    finite = numbers(raw.values)
    low, high = float(np.nanmin(finite)), float(np.nanmax(finite))
    plan = replace(
        raw.plan("number"), nullable=bool(np.isnan(finite).any()), minimum=low, maximum=high
    )
    if raw.kind == "number":
        return plan
    if raw.other is None or not is_number(raw.other.type) or low < -POLE or high > POLE:
        raise ConfigurationError(
            f"features_uri: column '{raw.name}' is asked for as a latitude beside "
            f"'{wish.longitude}'; both must be numbers, and latitudes lie within -{POLE} and "
            f"{POLE} degrees. Correct them, or ask for another kind."
        )
    outputs = [raw.name, *(f"{raw.name}.{place}" for place in PLACES)]
    east, latitude = numbers(raw.other), float(np.nanmean(finite))
    longitude = float(np.nanmean(east)) if not np.isnan(east).all() else 0.0
    origin = [latitude, longitude, math.cos(math.radians(latitude))]
    return replace(plan, outputs=outputs, other=wish.longitude, origin=origin)


def _moment(raw: Raw, wish: Asked) -> ColumnPlan:
    day = parse_moment(wish.reference) if wish.reference else None
    other = wish.reference if wish.reference and day is None else ""
    if other and (raw.other is None or not (is_text(raw.other.type) or is_moment(raw.other.type))):
        raise ConfigurationError(
            f"features_uri: the reference '{wish.reference}' of column '{raw.name}' is neither a "
            "column of dates nor a day in ISO 8601, such as 2024-01-31."
        )
    origin = [] if day is None else [days_of(day)]
    asked = (*(wish.parts or PARTS), *(["age"] * bool(wish.reference)))

    def plan(parts: Sequence[str]) -> ColumnPlan:
        made = raw.plan("string", [f"{raw.name}.{part}" for part in parts])
        return replace(made, parts=list(parts), other=other, origin=origin)

    matrix = encode_column(plan(asked), raw.values, raw.other if other else None)
    varies = [
        part
        for index, part in enumerate(asked)
        if len(np.unique(matrix[:, index][~np.isnan(matrix[:, index])])) > 1
        # The date itself leaves its training range at once where rows are split by time.
        and (part in wish.parts or not (part == "days" and raw.is_time))
    ]
    made = plan(varies)
    return made if "age" in varies else replace(made, other="", origin=[])


def _ordered(raw: Raw, wish: Asked, sent: str) -> ColumnPlan:
    """A rank for each step; a value that is no step stands where the middle row does."""
    values = category_values(raw.values) or []
    order = list(wish.order) or order_of(values)
    if order is None:
        raise ConfigurationError(
            f"features_uri: column '{raw.name}' is asked for as ordered, and its order is not "
            "plain. Add 'order: [...]' with its values from the least to the greatest."
        )
    table = {value: [float(rank)] for rank, value in enumerate(order)}
    plan = replace(raw.plan(sent), categories=list(order), table=table, unseen=[math.nan])
    ranks = encode_column(plan, raw.values)[:, 0]
    known = ranks[~np.isnan(ranks)]
    strangers = [value for value in values if value not in table]
    if len(known) < COVERED * (len(raw.values) - raw.values.null_count):
        raise ConfigurationError(
            f"features_uri: the order of column '{raw.name}' has the value of {len(known):,} of "
            f"{len(raw.values):,} rows; write its values as they stand in the table."
        )
    told = f"; {len(strangers)} of them not in the order" if strangers else ""
    return replace(plan, reason=raw.reason + told, unseen=[float(np.median(known))])
