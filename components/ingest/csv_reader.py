"""CSV as a stream, in two passes: the first settles types that hold for every row."""

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv

from shipway.components.ingest.columns import TEXT, twice
from shipway.components.ingest.streams import not_utf8, open_text
from shipway.components.lib.errors import DataError
from shipway.components.lib.storage import StoredObject

BLOCK_BYTES = 4 << 20
MAX_BLOCK_BYTES = 32 << 20
BYTES_A_COLUMN = 8 << 10
HEADER_BYTES = 8 << 20
DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')


class CsvReader:
    """Reads CSV objects of one header as batches of text."""

    numbers_in_text = True

    def __init__(self, objects: Sequence[StoredObject]) -> None:
        """Read the headers.

        Raises:
            DataError: a header is missing, names a column twice, or differs from the first.
        """
        self._objects = objects
        self._headers = {one.uri: _header(one) for one in objects}
        names, self.delimiter = self._headers[objects[0].uri]
        for uri, (others, _) in self._headers.items():
            differing = sorted(set(names) ^ set(others))
            if differing:
                raise DataError(
                    f"'{uri}' has other columns than '{objects[0].uri}': "
                    f"{', '.join(differing[:5])}. All objects of a source need the same columns."
                )
        self.names = names

    def batches(self, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows as text, the kept columns only.

        Raises:
            DataError: a row has too many or too few fields, or bytes are not UTF-8.
        """
        for stored in self._objects:
            yield from self._read(stored, kept)

    def _read(self, stored: StoredObject, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        names, delimiter = self._headers[stored.uri]
        block = min(max(BLOCK_BYTES, len(names) * BYTES_A_COLUMN), MAX_BLOCK_BYTES)
        convert = pacsv.ConvertOptions(
            column_types={name: TEXT for name in kept}, include_columns=list(kept)
        )
        with open_text(stored) as file:
            _header_line(file)
            try:
                yield from pacsv.open_csv(
                    file,
                    pacsv.ReadOptions(column_names=names, block_size=block),
                    pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                    convert,
                )
            except pa.ArrowInvalid as error:
                if "Empty CSV" not in str(error):  # a header without rows is no mistake in a part
                    raise _explained(stored, str(error), len(names), delimiter) from error


def _header_line(file: BinaryIO) -> bytes:
    """The first record, which may hold line ends in quotes; blank lines before it are skipped."""
    line = file.readline(HEADER_BYTES)
    while line and not line.strip():
        line = file.readline(HEADER_BYTES)
    while line.count(b'"') % 2 and len(line) < HEADER_BYTES:
        more = file.readline(HEADER_BYTES)
        if not more:
            break
        line += more
    return line


def _header(stored: StoredObject) -> tuple[list[str], str]:
    with open_text(stored) as file:
        line = _header_line(file)
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise not_utf8(stored) from error
    delimiter = max(DELIMITERS, key=_QUOTED.sub("", text).count)
    cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    if not any(cell.strip() for cell in cells):
        raise DataError(
            f"'{stored.uri}' is empty: there is no header with the names of the columns. Leave it "
            "out, or write it again."
        )
    names = [cell.strip() or f"column_{place}" for place, cell in enumerate(cells, 1)]
    if repeated := twice(names):
        raise DataError(
            f"'{stored.uri}' names the column '{repeated[0]}' {repeated[1]} times. Give each "
            "column a name of its own."
        )
    return names, delimiter


def _explained(stored: StoredObject, message: str, width: int, delimiter: str) -> DataError:
    if "UTF8" in message.upper().replace("-", ""):
        return not_utf8(stored)
    if "straddling" in message or "block size" in message:
        return DataError(
            f"'{stored.uri}' has a row of more than {BLOCK_BYTES >> 20} MB: a quote is opened and "
            "never closed, most likely. Mend it, or leave the object out."
        )
    ragged = _ragged_row(stored, width, delimiter) if "Expected" in message else None
    return ragged or DataError(
        f"'{stored.uri}' is not CSV that can be read: {message}. Mend it or leave it out."
    )


def _ragged_row(stored: StoredObject, width: int, delimiter: str) -> DataError | None:
    """Where the first row stands that has another number of fields than the header."""
    csv.field_size_limit(sys.maxsize)
    with open_text(stored) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="")
        rows = csv.reader(text, delimiter=delimiter)
        number = -1
        for record in rows:
            number += any(record)
            if any(record) and number and len(record) != width:
                quote = " A quote that was left open may be why." if "\n" in "".join(record) else ""
                return DataError(
                    f"'{stored.uri}', row {number} (line {rows.line_num}): {len(record)} fields, "
                    f"where the header has {width}. Mend the row; a field that holds "
                    f"{delimiter!r} must stand in quotes.{quote}"
                )
    return None
