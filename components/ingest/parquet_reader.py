"""Parquet row group by row group, in plain types."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shipway.components.ingest.columns import twice
from shipway.components.ingest.text_cells import NUMBER, TEXT
from shipway.components.lib.errors import DataError
from shipway.components.lib.storage import StoredObject, open_binary

BATCH_ROWS = 65_536
BATCH_CELLS = 4_000_000
_SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_AS_THEY_ARE = ("integer", "float32", "float64", "boolean", "timestamp", "date", "string")


class ParquetReader:
    """Reads Parquet objects of the same columns as batches."""

    def __init__(self, objects: Sequence[StoredObject]) -> None:
        """Read the footers.

        Raises:
            DataError: a file is cut or no Parquet, names a column twice, or differs in its columns.
        """
        self._objects = objects
        self._schemas = [_footer(one) for one in objects]
        self.names: list[str] = self._schemas[0].names
        for stored, schema in zip(objects, self._schemas, strict=True):
            if repeated := twice(schema.names):
                raise DataError(
                    f"'{stored.uri}' names the column '{repeated[0]}' {repeated[1]} times. Give "
                    "each column a name of its own."
                )
            differing = sorted(set(self.names) ^ set(schema.names))
            if differing:
                raise DataError(
                    f"'{stored.uri}' has other columns than '{objects[0].uri}': "
                    f"{', '.join(differing[:5])}. All objects of a source need the same columns."
                )

    def schema(self, kept: Sequence[str]) -> pa.Schema:
        """The plain types of the kept columns, wide enough for all objects.

        Raises:
            DataError: a column is nested, or of types that do not go together.
        """
        return pa.schema([(name, self._kind(name)) for name in kept])

    def _kind(self, name: str) -> pa.DataType:
        joined: pa.DataType | None = None
        for stored, schema in zip(self._objects, self._schemas, strict=True):
            raw = schema.field(name).type
            if pa.types.is_null(raw):
                continue
            kind = _plain(raw, name, stored)
            joined = kind if joined is None else _joined(joined, kind)
            if joined is None:
                raise DataError(
                    f"Column '{name}' holds {raw} in '{stored.uri}' and another type in the "
                    "objects before it. Write it in one type."
                )
        return TEXT if joined is None else joined

    def batches(self, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of the kept columns, in plain types.

        Raises:
            DataError: a file is damaged.
        """
        schema = self.schema(kept)
        rows = max(1, min(BATCH_ROWS, BATCH_CELLS // max(len(kept), 1)))
        for stored in self._objects:
            with open_binary(stored) as file:
                try:
                    batches = pq.ParquetFile(file).iter_batches(rows, columns=list(kept))
                    for batch in batches:
                        columns = [
                            _plain_values(batch.column(batch.schema.get_field_index(one.name)), one)
                            for one in schema
                        ]
                        yield pa.RecordBatch.from_arrays(columns, schema=schema)
                except (pa.ArrowInvalid, OSError) as error:
                    raise DataError(
                        f"'{stored.uri}' is damaged ({str(error).splitlines()[0]}). Copy or write "
                        "it again."
                    ) from error


def _footer(stored: StoredObject) -> pa.Schema:
    with open_binary(stored) as file:
        return _read_footer(file, stored)


def _read_footer(file: BinaryIO, stored: StoredObject) -> pa.Schema:
    try:
        return pq.ParquetFile(file).schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"'{stored.uri}' is not a whole Parquet file ({str(error).splitlines()[0]}). Copy or "
            "write it again."
        ) from error


def _plain(kind: pa.DataType, name: str, stored: StoredObject) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
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
        f"Column '{name}' of '{stored.uri}' holds {held or 'values'} ({kind}), which a table of "
        f"features cannot. Flatten it to numbers or text, or leave it out with "
        f"exclude_columns=['{name}']."
    )


def _joined(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
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


def _plain_values(values: pa.Array, field: pa.Field) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_duration(values.type):
        seconds = pc.cast(pc.cast(values, pa.int64()), NUMBER, safe=False)
        return pc.divide(seconds, _SECONDS[values.type.unit])
    return values if values.type == field.type else pc.cast(values, field.type, safe=False)
