"""JSON lines as a stream: one object a line; a key that a line lacks is missing there."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from shipway.components.ingest.columns import NUMBER, TEXT
from shipway.components.ingest.streams import not_utf8, open_text
from shipway.components.lib.errors import DataError
from shipway.components.lib.storage import StoredObject

BATCH_ROWS = 16_384

Row = dict[str, Any]


class JsonReader:
    """Reads objects of JSON lines as batches, with the columns that each batch has."""

    numbers_in_text = False

    def __init__(self, objects: Sequence[StoredObject]) -> None:
        """Read all objects for the keys, in the order of their first appearance.

        Raises:
            DataError: a line is no JSON object.
        """
        self._objects = objects
        names: Row = {}
        for stored in objects:
            for block in _blocks(stored):
                for row in block:
                    names.update(row)
        if not names:
            raise DataError(
                f"'{objects[0].uri}' is empty: there is no row with a column. Leave it out."
            )
        self.names = list(names)

    def batches(self, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows in the types that they have in JSON, the kept columns only.

        Raises:
            DataError: a cell is nested.
        """
        for stored in self._objects:
            for block in _blocks(stored):
                arrays = [_column([row.get(name) for row in block], name, stored) for name in kept]
                yield pa.RecordBatch.from_arrays(arrays, names=list(kept))


def _blocks(stored: StoredObject) -> Iterator[list[Row]]:
    block: list[Row] = []
    with open_text(stored) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                block.append(_row(line, number, stored))
            if len(block) >= BATCH_ROWS:
                yield block
                block = []
    if block:
        yield block


def _row(line: bytes, number: int, stored: StoredObject) -> Row:
    where = f"'{stored.uri}', line {number}"
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise not_utf8(stored) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error}). Each line must be one object.") from error
    if not isinstance(row, dict):
        raise DataError(
            f"{where}: a {type(row).__name__}, where an object must stand. Write one object a "
            'line, {"column": value, ...}, and no list around them.'
        )
    return row


def _column(values: list[Any], name: str, stored: StoredObject) -> pa.Array:
    if any(isinstance(value, dict | list) for value in values):
        raise DataError(
            f"Column '{name}' of '{stored.uri}' is nested. Flatten it to plain columns, or leave "
            f"it out with exclude_columns=['{name}']."
        )
    kinds = {type(value) for value in values} - {type(None)}
    try:
        if kinds == {int, float}:
            return pa.array([None if value is None else float(value) for value in values], NUMBER)
        if len(kinds) == 1:
            return pa.array(values)
    except (pa.ArrowInvalid, UnicodeError, OverflowError):  # beyond 64 bits, or half a surrogate
        pass
    return pa.array([_text(value) for value in values], TEXT)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()
