"""JSON lines as a stream: one object a line; a key that a line lacks is missing there."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from shipway.components.ingest.options import ReadOptions
from shipway.components.ingest.rejects import Reject, Rejects
from shipway.components.ingest.streams import not_utf8, open_text
from shipway.components.ingest.text_cells import NUMBER, TEXT
from shipway.components.lib.errors import DataError
from shipway.components.lib.objects import StoredObject

BATCH_ROWS = 16_384

Row = dict[str, Any]


class JsonReader:
    """Reads objects of JSON lines as batches, with the columns that each batch has."""

    numbers_in_text = False

    def __init__(
        self,
        objects: Sequence[StoredObject],
        options: ReadOptions | None = None,
        rejects: Rejects | None = None,
    ) -> None:
        """Read all objects for the keys, in the order of their first appearance.

        Raises:
            DataError: a line is no JSON object, and may not be rejected.
        """
        self._objects = objects
        self._options = options or ReadOptions()
        self._rejects = rejects or Rejects()
        names: Row = {}
        for stored in objects:
            for block in self._blocks(stored):
                for row in block:
                    names.update(row)
        if not names:
            self._rejects.check(0)
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
            for block in self._blocks(stored):
                arrays = [_column([row.get(name) for row in block], name, stored) for name in kept]
                yield pa.RecordBatch.from_arrays(arrays, names=list(kept))

    def _blocks(self, stored: StoredObject) -> Iterator[list[Row]]:
        block: list[Row] = []
        with open_text(stored, self._options.encoding) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = self._row(line, number, stored)
                    block += [] if row is None else [row]
                if len(block) >= BATCH_ROWS:
                    yield block
                    block = []
        if block:
            yield block

    def _row(self, line: bytes, number: int, stored: StoredObject) -> Row | None:
        """A row; None for a line that was rejected."""
        try:
            row = json.loads(line.decode())
        except UnicodeDecodeError as error:
            if not self._rejects.allowed:
                raise not_utf8(stored) from error
            reason = "bytes that are not UTF-8"
        except (ValueError, RecursionError) as error:
            reason = f"not JSON ({error})"
        else:
            if isinstance(row, dict):
                return row
            reason = f"a {type(row).__name__}, where an object must stand"
        if self._rejects.allowed:
            text = line[:65_536].decode("utf-8", "backslashreplace").rstrip("\r\n")
            self._rejects.add(Reject(stored.uri, number, text, reason))
            return None
        raise DataError(
            f"'{stored.uri}', line {number}: {reason}. Write one object a line, "
            '{"column": value, ...}, and no list around them; or let maximum_rejected_share leave '
            "such lines out."
        )


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
