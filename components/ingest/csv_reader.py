"""CSV as a stream of text cells: what they are is found by `columns` and `typed`."""

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pacsv

from shipway.components.ingest.columns import Markers, twice
from shipway.components.ingest.options import ReadOptions
from shipway.components.ingest.recoding import without_comments
from shipway.components.ingest.rejects import Reject, Rejects
from shipway.components.ingest.streams import not_utf8, open_text
from shipway.components.ingest.text_cells import TEXT
from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.objects import StoredObject

BLOCK_BYTES = 4 << 20
MAX_BLOCK_BYTES = 32 << 20
BYTES_A_COLUMN = 8 << 10
HEADER_BYTES = 8 << 20
DELIMITERS = ",;\t|"


class CsvReader:
    """Reads CSV objects of one header as batches of text."""

    numbers_in_text = True

    def __init__(
        self,
        objects: Sequence[StoredObject],
        options: ReadOptions | None = None,
        rejects: Rejects | None = None,
    ) -> None:
        """Read the headers.

        Raises:
            DataError: a header is missing, names a column twice, or differs from the first.
        """
        self._objects = objects
        self._options = options or ReadOptions()
        self._rejects = rejects or Rejects()
        self._headers = {one.uri: _header(one, self._options) for one in objects}
        self._nulls: list[str] = []
        names, self.delimiter = self._headers[objects[0].uri]
        for uri, (others, _) in self._headers.items():
            differing = sorted(set(names) ^ set(others))
            if differing:
                raise DataError(
                    f"'{uri}' has other columns than '{objects[0].uri}': "
                    f"{', '.join(differing[:5])}. All objects of a source need the same columns."
                )
        self.names = names

    def mark(self, markers: Markers) -> None:
        """Read the markers of all columns as null, while it parses: that costs next to nothing."""
        self._nulls = markers.everywhere.texts.to_pylist()

    def batches(self, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows as text, the kept columns only.

        Raises:
            DataError: a row has too many or too few fields and may not be rejected, or bytes are
                not of the encoding.
        """
        for stored in self._objects:
            yield from self._read(stored, kept)

    def _read(self, stored: StoredObject, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        names, delimiter = self._headers[stored.uri]
        options = self._options
        block = min(max(BLOCK_BYTES, len(names) * BYTES_A_COLUMN), MAX_BLOCK_BYTES)
        convert = pacsv.ConvertOptions(
            column_types={name: TEXT for name in kept},
            include_columns=list(kept),
            null_values=self._nulls,
            strings_can_be_null=True,
        )
        parse = pacsv.ParseOptions(
            delimiter=delimiter,
            quote_char=options.quote or False,
            escape_char=options.escape or False,
            newlines_in_values=True,
            invalid_row_handler=self._handler(stored) if self._rejects.allowed else None,
        )
        # pyarrow knows the number of a row that it cannot read only without threads of its own.
        read = pacsv.ReadOptions(
            column_names=names, block_size=block, use_threads=not self._rejects.allowed
        )
        with _lines(stored, options) as file:
            if options.has_header:
                _header_line(file, options)
            try:
                yield from pacsv.open_csv(file, read, parse, convert)
            except pa.ArrowInvalid as error:
                if "Empty CSV" not in str(error):  # a header without rows is no mistake in a part
                    width = len(names)
                    raise _explained(stored, str(error), width, delimiter, options) from error

    def _handler(self, stored: StoredObject) -> Any:
        def reject(row: Any) -> str:
            reason = f"{row.actual_columns} fields, where the header has {row.expected_columns}"
            self._rejects.add(Reject(stored.uri, row.number or 0, row.text, reason))
            return "skip"

        return reject


@contextmanager
def _lines(stored: StoredObject, options: ReadOptions) -> Iterator[BinaryIO]:
    """An object as UTF-8, from its header on, without comments."""
    with open_text(stored, options.encoding) as file:
        for _ in range(options.skip_rows):
            file.readline(HEADER_BYTES)
        yield without_comments(file, options.comment, options.quote) if options.comment else file


def _header_line(file: BinaryIO, options: ReadOptions) -> bytes:
    """The first record, which may hold line ends in quotes; blank lines before it are skipped."""
    line = file.readline(HEADER_BYTES)
    while line and not line.strip():
        line = file.readline(HEADER_BYTES)
    quote = options.quote.encode()
    while quote and line.count(quote) % 2 and len(line) < HEADER_BYTES:
        more = file.readline(HEADER_BYTES)
        if not more:
            break
        line += more
    return line


def _dialect(delimiter: str, options: ReadOptions) -> dict[str, Any]:
    """What Python's reader is told."""
    return {
        "delimiter": delimiter,
        "quotechar": options.quote or None,
        "escapechar": options.escape or None,
        "quoting": csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE,
    }


def _header(stored: StoredObject, options: ReadOptions) -> tuple[list[str], str]:
    with _lines(stored, options) as file:
        line = _header_line(file, options)
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise not_utf8(stored) from error
    quote = re.escape(options.quote)
    bare = re.sub(f"{quote}[^{quote}]*{quote}", "", text) if quote else text
    delimiter = options.delimiter or max(DELIMITERS, key=bare.count)
    lines = csv.reader(io.StringIO(text, newline=""), **_dialect(delimiter, options))
    cells = next(lines, [])
    if not any(cell.strip() for cell in cells):
        raise DataError(
            f"'{stored.uri}' is empty: there is no header with the names of the columns. Leave it "
            "out, or write it again."
        )
    names = _names(cells, stored, options)
    if repeated := twice(names):
        raise DataError(
            f"'{stored.uri}' names the column '{repeated[0]}' {repeated[1]} times. Give each "
            "column a name of its own."
        )
    return names, delimiter


def _names(cells: list[str], stored: StoredObject, options: ReadOptions) -> list[str]:
    if options.column_names:
        if len(options.column_names) != len(cells):
            raise ConfigurationError(
                f"read_options['column_names'] has {len(options.column_names)} names, but the "
                f"first record of '{stored.uri}' has {len(cells)} fields. Name each of them."
            )
        return list(options.column_names)
    given = [cell.strip() if options.has_header else "" for cell in cells]
    return [name or f"column_{place}" for place, name in enumerate(given, 1)]


def _explained(
    stored: StoredObject, message: str, width: int, delimiter: str, options: ReadOptions
) -> DataError:
    if "UTF8" in message.upper().replace("-", ""):
        return not_utf8(stored)
    if "straddling" in message or "block size" in message:
        return DataError(
            f"'{stored.uri}' has a row of more than {BLOCK_BYTES >> 20} MB: a quote is opened and "
            "never closed, most likely. Mend it, or leave the object out."
        )
    ragged = _ragged_row(stored, width, delimiter, options) if "Expected" in message else None
    return ragged or DataError(
        f"'{stored.uri}' is not CSV that can be read: {message}. Mend it or leave it out."
    )


def _ragged_row(
    stored: StoredObject, width: int, delimiter: str, options: ReadOptions
) -> DataError | None:
    """Where the first row stands that has another number of fields than the header."""
    csv.field_size_limit(sys.maxsize)
    with _lines(stored, options) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="")
        rows = csv.reader(text, **_dialect(delimiter, options))
        number = -1 if options.has_header else 0
        for record in rows:
            number += any(record)
            if any(record) and number and len(record) != width:
                quote = " A quote that was left open may be why." if "\n" in "".join(record) else ""
                return DataError(
                    f"'{stored.uri}', row {number} (line {options.skip_rows + rows.line_num}): "
                    f"{len(record)} fields, where the header has {width}. Mend the row, or let "
                    "maximum_rejected_share leave such rows out; a field that holds "
                    f"{delimiter!r} must stand in quotes.{quote}"
                )
    return None
