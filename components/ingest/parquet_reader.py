"""Parquet row group by row group, in plain types."""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from shipway.components.lib.errors import DataError
from shipway.components.lib.storage import StoredObject, open_binary

BATCH_ROWS = 65_536
Parts = tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]


def parquet_source_parts(objects: Sequence[StoredObject]) -> Parts:
    """The schema of some Parquet objects, and the function that reads their rows.

    Raises:
        DataError: a file is cut or no Parquet, a column is nested, or files disagree.
    """
    schemas = []
    for stored in objects:
        with open_binary(stored) as file:
            schemas.append(_plain_schema(_opened(file, stored).schema_arrow, stored))
    first = schemas[0]
    if len(set(first.names)) < len(first.names):
        twice = next(name for name in first.names if first.names.count(name) > 1)
        raise DataError(f"'{objects[0].uri}' has the column '{twice}' more than once. Rename one.")
    schema = first
    for stored, other in zip(objects, schemas, strict=True):
        schema = _joined(schema, other, stored, objects[0])
    return schema, lambda: _read(objects, schema)


def _opened(file: object, stored: StoredObject) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"'{stored.uri}' is not a whole Parquet file ({str(error).splitlines()[0]}). Copy or "
            "write it again."
        ) from error


def _plain_schema(schema: pa.Schema, stored: StoredObject) -> pa.Schema:
    fields = []
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_decimal(kind):
            kind = pa.float64()
        elif pa.types.is_null(kind) or pa.types.is_large_string(kind):
            kind = pa.string()
        elif pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_time(kind):
            raise DataError(
                f"Column '{field.name}' of '{stored.uri}' holds {kind}, which no model here takes. "
                f"Flatten it, or leave it out at the source."
            )
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def _joined(
    schema: pa.Schema, other: pa.Schema, stored: StoredObject, first: StoredObject
) -> pa.Schema:
    if set(schema.names) != set(other.names):
        differing = sorted(set(schema.names) ^ set(other.names))
        raise DataError(
            f"'{stored.uri}' has other columns than '{first.uri}': {', '.join(differing[:5])}. All "
            "objects of a source must have the same columns."
        )
    fields = []
    for field in schema:
        mine, theirs = field.type, other.field(field.name).type
        if mine != theirs:
            numbers = all(pa.types.is_integer(k) or pa.types.is_floating(k) for k in (mine, theirs))
            if not numbers:
                raise DataError(
                    f"Column '{field.name}' holds {theirs} in '{stored.uri}' and {mine} in "
                    f"'{first.uri}'. Write both in one type."
                )
            whole = pa.types.is_integer(mine) and pa.types.is_integer(theirs)
            mine = pa.int64() if whole else pa.float64()
        fields.append(pa.field(field.name, mine))
    return pa.schema(fields)


def _read(objects: Sequence[StoredObject], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for stored in objects:
        with open_binary(stored) as file:
            parquet = _opened(file, stored)
            try:
                for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
                    table = pa.Table.from_batches([batch]).select(schema.names)
                    yield from table.cast(schema, safe=False).to_batches()
            except (pa.ArrowInvalid, OSError) as error:
                raise DataError(
                    f"'{stored.uri}' is damaged ({str(error).splitlines()[0]}). Copy or write it "
                    "again."
                ) from error
