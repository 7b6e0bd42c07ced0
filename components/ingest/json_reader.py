"""JSON lines as a stream, in two passes: the first settles the columns and their types."""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from shipway.components.lib.errors import DataError
from shipway.components.lib.storage import StoredObject, open_binary

BATCH_ROWS = 20_000
Parts = tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]


def json_source_parts(objects: Sequence[StoredObject], missing: set[str]) -> Parts:
    """The schema of some objects of JSON lines, and the function that reads their rows.

    Raises:
        DataError: a line is no JSON object, or a cell is nested.
    """
    kinds: dict[str, set[type]] = {}
    for row in _rows(objects, missing):
        for name, value in row.items():
            kinds.setdefault(name, set()).add(type(value))
    if not kinds:
        raise DataError(f"'{objects[0].uri}' has no rows with a column. Leave it out.")
    schema = pa.schema([(name, _type_of(found)) for name, found in kinds.items()])
    return schema, lambda: _batches(objects, schema, missing)


def _type_of(kinds: set[type]) -> pa.DataType:
    kinds = kinds - {type(None)}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return pa.string()


def _rows(objects: Sequence[StoredObject], missing: set[str]) -> Iterator[dict[str, Any]]:
    for stored in objects:
        with open_binary(stored) as raw:
            file = gzip.open(raw) if stored.uri.lower().endswith(".gz") else raw
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _row(line, number, stored, missing)


def _row(line: bytes, number: int, stored: StoredObject, missing: set[str]) -> dict[str, Any]:
    where = f"'{stored.uri}', line {number}"
    try:
        row = json.loads(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: bytes that are not UTF-8. Convert the file.") from error
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}). Each line must be one object.") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: a {type(row).__name__}, where an object must stand.")
    for name, value in row.items():
        if isinstance(value, (dict, list)):
            raise DataError(
                f"{where}: '{name}' holds a {type(value).__name__}. Flatten it to plain columns."
            )
        if isinstance(value, str) and value in missing:
            row[name] = None
    return row


def _batches(
    objects: Sequence[StoredObject], schema: pa.Schema, missing: set[str]
) -> Iterator[pa.RecordBatch]:
    rows = _rows(objects, missing)
    while block := list(islice(rows, BATCH_ROWS)):
        arrays = [_array([row.get(field.name) for row in block], field.type) for field in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        values = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    return pa.array(values, kind)
