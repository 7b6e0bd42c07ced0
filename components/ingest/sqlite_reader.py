"""The rows of a query of SQLite, whose columns may hold anything: types are found by all rows."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from shipway.components.ingest.columns import twice
from shipway.components.ingest.plain_types import NUMBER, TEXT
from shipway.components.ingest.sql_address import Address
from shipway.components.lib.errors import DataError

BATCH_ROWS = 16_384


class SqliteReader:
    """The rows of a query, in one transaction that only reads."""

    numbers_in_text = False

    def __init__(self, address: Address) -> None:
        """Open the file and look at the query.

        Raises:
            DataError: there is no such database, or it refuses the query.
        """
        self._address = address
        try:
            file = Path(address.path).expanduser().absolute().as_uri()
            self._connection = sqlite3.connect(
                f"{file}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA query_only = ON")
            self._connection.execute("BEGIN")
            cursor = self._connection.execute(address.query)
        except sqlite3.Error as error:
            raise self._explained(error) from error
        self.names: list[str] = [column[0] for column in cursor.description]
        cursor.close()
        if repeated := twice(self.names):
            raise DataError(
                f"The query gives the column '{repeated[0]}' {repeated[1]} times. Name each column "
                "differently, e.g. by AS."
            )

    def batches(self, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of the kept columns, in the types that their batch has.

        Raises:
            DataError: a column holds bytes, or the file is damaged.
        """
        places = [self.names.index(name) for name in kept]
        try:
            cursor = self._connection.execute(self._address.query)
            while rows := cursor.fetchmany(BATCH_ROWS):
                arrays = [self._column([row[place] for row in rows], place) for place in places]
                yield pa.RecordBatch.from_arrays(arrays, names=list(kept))
        except (sqlite3.Error, UnicodeError) as error:
            raise self._explained(error) from error

    def _column(self, values: list[Any], place: int) -> pa.Array:
        kinds = {type(value) for value in values} - {type(None)}
        if bytes in kinds:
            name = self.names[place]
            raise DataError(
                f"Column '{name}' of '{self._address.uri}' holds bytes, which a table of features "
                f"cannot. Leave it out with exclude_columns=['{name}'], or write hex({name}) in "
                "the query."
            )
        if kinds == {int, float}:
            return pa.array([None if value is None else float(value) for value in values], NUMBER)
        if len(kinds) < 2:
            return pa.array(values) if kinds else pa.array(values, TEXT)
        return pa.array([None if value is None else str(value) for value in values], TEXT)

    def close(self) -> None:
        """End the transaction."""
        self._connection.close()

    def _explained(self, error: Exception) -> DataError:
        return DataError(
            f"'{self._address.uri}' did not give the rows of the query: {error}. Check the path "
            "and the query, then run again."
        )
