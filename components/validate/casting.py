"""Arrow columns in the types that TFDV measures: it drops some silently and raises on others."""

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

UNMEASURED = "the type"


@dataclass(frozen=True)
class ColumnCast:
    """How one column is handed to TFDV.

    Attributes:
        name: the column.
        kind: what the column is to a person: "integer", "number", "text", "true/false", "time", ...
        target: the Arrow type that TFDV sees, or None when it cannot be measured at all.
        note: what was changed, for the page; empty when nothing was.
    """

    name: str
    kind: str
    target: pa.DataType | None
    note: str = ""


def plan_casts(schema: pa.Schema) -> list[ColumnCast]:
    """One cast for each column of a table, in its order."""
    return [_plan(field.name, field.type) for field in schema]


_SINCE_1970 = "as seconds since 1970"

# Predicates of pyarrow.types, what the column is to a person, the type TFDV sees (None: as it is),
# and what to tell about it. The first that holds counts.
_PLANS: list[tuple[tuple[str, ...], str, pa.DataType | None, str]] = [
    (("timestamp",), "time", pa.int64(), _SINCE_1970),
    (("date",), "date", pa.int64(), _SINCE_1970),
    (("time",), "time of day", pa.int64(), "as seconds since midnight"),
    (("duration",), "duration", pa.float64(), "in seconds"),
    (("decimal",), "decimal", pa.float64(), "as a float"),
    (("boolean",), "true/false", pa.uint8(), ""),
    (("integer",), "integer", None, ""),
    (("float16",), "number", pa.float32(), ""),
    (("floating",), "number", None, ""),
    (("string", "large_string"), "text", pa.string(), ""),
    (("null",), "empty", pa.string(), "holds no value at all"),
    (("binary", "large_binary", "fixed_size_binary"), "bytes", pa.binary(), ""),
]


def _plan(name: str, kind: pa.DataType) -> ColumnCast:
    if pa.types.is_dictionary(kind):
        return _plan(name, kind.value_type)
    for predicates, word, target, note in _PLANS:
        if any(getattr(pa.types, f"is_{predicate}")(kind) for predicate in predicates):
            return ColumnCast(name, word, kind if target is None else target, note)
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if any(is_list(kind) for is_list in lists):
        inner = _plan(name, kind.value_type)
        # Only a list whose values need no other treatment than a plain cast is handed on.
        if inner.target is not None and not inner.note and not pa.types.is_nested(inner.target):
            return ColumnCast(name, f"list of {inner.kind}", pa.list_(inner.target))
    return ColumnCast(name, str(kind), None, f"{UNMEASURED} {kind} is not measured")


def cast_column(column: pa.Array, cast: ColumnCast) -> tuple[pa.Array, int]:
    """A column as TFDV takes it.

    NaN is a missing value everywhere in the product, so it becomes null. So do infinities, which
    would turn the mean and the histogram into NaN; they are counted.

    Args:
        column: one batch of the column.
        cast: its plan, with a target.

    Returns:
        The column in the target's type, and how many infinite values it had.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_temporal(column.type):
        column = _seconds(column)
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    if not column.type.equals(cast.target):
        column = column.cast(cast.target)
    if not pa.types.is_floating(column.type):
        return column, 0
    finite = pc.is_finite(column)
    if pc.all(finite).as_py() in (True, None):
        return column, 0
    infinite = pc.sum(pc.is_inf(column)).as_py() or 0
    return pc.if_else(finite, column, pa.scalar(None, column.type)), int(infinite)


def _seconds(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"), safe=False)
        kind = column.type
    # Out of the name, "time32[ms]": pyarrow 10 has no unit on times of day.
    unit = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[re.split(r"[\[\],]", str(kind))[1]]
    wide = column.cast(pa.int32()) if pa.types.is_time32(kind) else column
    counts = wide.cast(pa.int64())
    if pa.types.is_duration(kind):
        return pc.divide(counts.cast(pa.float64(), safe=False), float(unit))
    return pc.divide(counts, unit)
