"""Objects of a format that knows its types, batch by batch, in plain types."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from shipway.components.ingest.columnar_formats import FORMATS
from shipway.components.ingest.columns import twice
from shipway.components.ingest.plain_types import TEXT, joined, plain, plain_batch
from shipway.components.lib.errors import DataError
from shipway.components.lib.objects import StoredObject
from shipway.components.lib.storage import open_binary

BATCH_ROWS = 65_536
BATCH_CELLS = 4_000_000
# What the libraries raise for a file that is cut, damaged or of another format.
DAMAGE = (ValueError, TypeError, KeyError, IndexError, EOFError, OSError, pa.ArrowException)


class ColumnarReader:
    """Reads objects of the same columns as batches."""

    def __init__(self, objects: Sequence[StoredObject], data_format: str) -> None:
        """Read what the files say of their columns.

        Raises:
            DataError: a file is cut or of another format, names a column twice, or differs in its
                columns.
        """
        self._objects = objects
        self._format = FORMATS[data_format]
        self._schemas = {one.uri: self._schema_of(one) for one in objects}
        self.names: list[str] = self._schemas[objects[0].uri].names
        for uri, schema in self._schemas.items():
            if repeated := twice(schema.names):
                raise DataError(
                    f"'{uri}' names the column '{repeated[0]}' {repeated[1]} times. Give "
                    "each column a name of its own."
                )
            differing = sorted(set(self.names) ^ set(schema.names))
            if differing:
                raise DataError(
                    f"'{uri}' has other columns than '{objects[0].uri}': "
                    f"{', '.join(differing[:5])}. All objects of a source need the same columns."
                )

    def _schema_of(self, stored: StoredObject) -> pa.Schema:
        with open_binary(stored) as file:
            try:
                return self._format.schema(file)
            except DAMAGE as error:
                raise DataError(
                    f"'{stored.uri}' is not a whole {self._format.word} file ({_first(error)}). "
                    "Copy or write it again."
                ) from error

    def schema(self, kept: Sequence[str]) -> pa.Schema:
        """The plain types of the kept columns, wide enough for all objects.

        Raises:
            DataError: a column is nested, or of types that do not go together.
        """
        return pa.schema([(name, self._kind(name)) for name in kept])

    def _kind(self, name: str) -> pa.DataType:
        wide: pa.DataType | None = None
        for uri, schema in self._schemas.items():
            raw = schema.field(name).type
            if pa.types.is_null(raw):
                continue
            kind = plain(raw, name, uri)
            wide = kind if wide is None else joined(wide, kind)
            if wide is None:
                raise DataError(
                    f"Column '{name}' holds {raw} in '{uri}' and another type in the "
                    "objects before it. Write it in one type."
                )
        return TEXT if wide is None else wide

    def batches(self, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of the kept columns, in plain types.

        Raises:
            DataError: a file is damaged.
        """
        schema = self.schema(kept)
        rows = max(1, min(BATCH_ROWS, BATCH_CELLS // max(len(kept), 1)))
        for stored in self._objects:
            with open_binary(stored) as file:
                batches = self._format.batches(file, kept, rows)
                while (batch := self._next(batches, stored)) is not None:
                    yield plain_batch(batch, schema)

    def _next(
        self, batches: Iterator[pa.RecordBatch], stored: StoredObject
    ) -> pa.RecordBatch | None:
        try:
            return next(batches, None)
        except DAMAGE as error:
            raise DataError(
                f"'{stored.uri}' is damaged ({_first(error)}). Copy or write it again."
            ) from error


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
