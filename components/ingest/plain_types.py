"""The plain types that a table of features holds, and how other types become them."""

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.errors import DataError

NUMBER, TEXT = pa.float64(), pa.string()
_SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_AS_THEY_ARE = ("integer", "float32", "float64", "boolean", "timestamp", "date", "string")


def plain(kind: pa.DataType, name: str, where: str) -> pa.DataType:
    """The plain type that a type becomes.

    Args:
        kind: of the column as it stands.
        name: of the column.
        where: what holds it, for the error.

    Raises:
        DataError: the column is nested, or holds bytes.
    """
    kind = _bare(kind)
    if any(getattr(pa.types, f"is_{family}")(kind) for family in _AS_THEY_ARE):
        return kind
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal(kind) or pa.types.is_duration(kind):
        return NUMBER
    if pa.types.is_large_string(kind) or pa.types.is_time(kind) or str(kind) == "string_view":
        return TEXT
    held = "nested values" if pa.types.is_nested(kind) else "bytes" if "binary" in str(kind) else ""
    raise DataError(
        f"Column '{name}' of '{where}' holds {held or 'values'} ({kind}), which a table of "
        f"features cannot. Flatten it to numbers or text, or leave it out with "
        f"exclude_columns=['{name}']."
    )


def _bare(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def joined(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The plain type that holds the values of two; None if there is none."""
    if one == other:
        return one
    if all(pa.types.is_integer(kind) for kind in (one, other)):
        return pa.int64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (one, other)):
        return NUMBER
    times = (pa.types.is_timestamp, pa.types.is_date)
    if all(any(is_time(kind) for is_time in times) for kind in (one, other)):
        zones = {getattr(kind, "tz", None) for kind in (one, other)}
        return pa.timestamp("us", zones.pop()) if len(zones) == 1 else None
    return None


def plain_values(values: pa.Array, field: pa.Field) -> pa.Array:
    """Values in the plain type of their column; a duration becomes seconds."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_duration(values.type):
        seconds = pc.cast(pc.cast(values, pa.int64()), NUMBER, safe=False)
        return pc.divide(seconds, _SECONDS[values.type.unit])
    return values if values.type == field.type else pc.cast(values, field.type, safe=False)


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of a schema of plain types, out of a batch."""
    columns = [
        plain_values(batch.column(batch.schema.get_field_index(one.name)), one) for one in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
