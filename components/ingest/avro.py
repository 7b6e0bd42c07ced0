"""Avro files in Arrow's types."""

import itertools
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa

_PLAIN = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "enum": pa.string(),
    "bytes": pa.binary(),
    "fixed": pa.binary(),
}
_LOGICAL = {
    "date": pa.date32(),
    "time-millis": pa.time64("us"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("us", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "local-timestamp-millis": pa.timestamp("us"),
    "local-timestamp-micros": pa.timestamp("us"),
    "uuid": pa.string(),
}
_NESTED = pa.struct([])


def read_schema(file: BinaryIO) -> pa.Schema:
    """The columns of an Avro file of records.

    Raises:
        ValueError: it holds something else, or is no Avro.
    """
    import fastavro

    return _schema(fastavro.reader(file).writer_schema)


def read_batches(file: BinaryIO, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of some columns, so many at a time."""
    import fastavro

    reader = fastavro.reader(file)
    schema = _schema(reader.writer_schema)
    kept = pa.schema([schema.field(name) for name in columns])
    records = iter(reader)
    while block := list(itertools.islice(records, rows)):
        arrays = [_array([record[field.name] for record in block], field.type) for field in kept]
        yield pa.RecordBatch.from_arrays(arrays, schema=kept)


def _schema(written: Any) -> pa.Schema:
    if not isinstance(written, dict) or written.get("type") != "record":
        raise ValueError("its values are no records")
    return pa.schema([(field["name"], _kind(field["type"])) for field in written["fields"]])


def _kind(written: Any) -> pa.DataType:
    """The type of a field; a struct for what cannot be a column."""
    if isinstance(written, list):
        kinds = {_kind(one) for one in written} - {pa.null()}
        if kinds <= {pa.int32(), pa.int64()} and kinds:
            return pa.int64() if len(kinds) > 1 else kinds.pop()
        if kinds <= {_PLAIN[name] for name in ("int", "long", "float", "double")} and kinds:
            return pa.float64() if len(kinds) > 1 else kinds.pop()
        return pa.null() if not kinds else kinds.pop() if len(kinds) == 1 else _NESTED
    if not isinstance(written, dict):
        return _PLAIN.get(written, _NESTED)  # else the name of a type that was defined before
    logical, name = written.get("logicalType"), written["type"]
    if logical == "decimal" and name in ("bytes", "fixed"):
        if written["precision"] > 76:
            return _NESTED
        return pa.decimal256(written["precision"], written.get("scale", 0))
    if logical in _LOGICAL:
        return _LOGICAL[logical]
    return _kind(name) if isinstance(name, dict | list) else _PLAIN.get(name, _NESTED)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        values = [str(value) if isinstance(value, uuid.UUID) else value for value in values]
    return pa.array(values, kind)
