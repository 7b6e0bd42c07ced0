"""CSV as a stream, in two passes: the first settles types that hold for every row."""

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from shipway.components.lib.errors import DataError
from shipway.components.lib.storage import StoredObject, open_binary

BLOCK_BYTES = 4 << 20
HEADER_BYTES = 4 << 20
DELIMITERS = ",;\t|"
TRUE, FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
# From narrow to wide; a column takes the first that holds all its values.
KINDS = [pa.int64(), pa.float64(), pa.bool_(), pa.string()]
_LEADING_ZERO = r"^[+-]?0[0-9]"
_RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")

Parts = tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]


def csv_source_parts(objects: Sequence[StoredObject], missing: Sequence[str]) -> Parts:
    """The schema of some CSV objects, and the function that reads their rows.

    Raises:
        DataError: a header has a name twice, headers differ, a row has too many or too few fields,
            or bytes are not UTF-8.
    """
    headers = {one.uri: _header(one) for one in objects}
    names, delimiter = next(iter(headers.values()))
    for uri, (others, _) in headers.items():
        if others != names:
            differing = sorted(set(names) ^ set(others)) or ["their order"]
            raise DataError(
                f"'{uri}' has other columns than '{objects[0].uri}': {', '.join(differing[:5])}. "
                "All objects of a source must have the same header."
            )
    ranks = [0] * len(names)
    known = [False] * len(names)
    texts = pa.schema([(name, pa.string()) for name in names])
    for batch in _read(objects, texts, missing, delimiter):
        for index, column in enumerate(batch.columns):
            known[index] = known[index] or column.null_count < len(column)
            ranks[index] = _widened(column, ranks[index])
    schema = pa.schema(
        [
            (name, KINDS[rank] if has_values else pa.string())
            for name, rank, has_values in zip(names, ranks, known, strict=True)
        ]
    )
    return schema, lambda: _read(objects, schema, missing, delimiter)


def _header(stored: StoredObject) -> tuple[list[str], str]:
    with _opened(stored) as file:
        first = file.readline(HEADER_BYTES)
    try:
        line = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _not_utf8(stored, 1, first, error) from error
    delimiter = max(DELIMITERS, key=line.count)
    names = next(csv.reader(io.StringIO(line), delimiter=delimiter), [])
    if not any(name.strip() for name in names):
        raise DataError(
            f"'{stored.uri}' is empty in its first line, where the column names must stand."
        )
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise DataError(
            f"'{stored.uri}' names the column '{twice[0]}' {names.count(twice[0])} times. Give each "
            "column a name of its own."
        )
    return names, delimiter


@contextmanager
def _opened(stored: StoredObject) -> Iterator[BinaryIO]:
    with open_binary(stored) as raw:
        if not stored.uri.lower().endswith(".gz"):
            yield raw
            return
        try:
            with gzip.open(raw) as file:
                yield file  # type: ignore[misc]
        except (EOFError, gzip.BadGzipFile, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise DataError(
                f"'{stored.uri}' is not a whole gzip file ({error}). Compress or copy it again."
            ) from error


def _read(
    objects: Sequence[StoredObject], schema: pa.Schema, missing: Sequence[str], delimiter: str
) -> Iterator[pa.RecordBatch]:
    convert = pacsv.ConvertOptions(
        column_types=schema,
        null_values=list(missing),
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
        true_values=TRUE,
        false_values=FALSE,
    )
    for stored in objects:
        with _opened(stored) as file:
            try:
                reader = pacsv.open_csv(
                    file,
                    pacsv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
                    pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                    convert,
                )
                yield from reader
            except pa.ArrowInvalid as error:
                raise _explained(stored, error, delimiter) from error


def _explained(stored: StoredObject, error: pa.ArrowInvalid, delimiter: str) -> DataError:
    ragged = _RAGGED.search(str(error))
    if ragged:
        row, expected, came = ragged.groups()
        return DataError(
            f"'{stored.uri}', row {row}: {came} fields where the header has {expected}. Mend the "
            f"row; a field that holds the delimiter {delimiter!r} must stand in quotes."
        )
    if "UTF8" in str(error).upper().replace("-", ""):
        with _opened(stored) as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as found:
                    return _not_utf8(stored, number, line, found)
    if "Empty CSV" in str(error):
        return DataError(f"'{stored.uri}' has no rows below its header. Leave it out.")
    return DataError(f"'{stored.uri}' is not CSV that can be read: {error}. Mend or leave it out.")


def _not_utf8(
    stored: StoredObject, number: int, line: bytes, error: UnicodeDecodeError
) -> DataError:
    near = line[max(0, error.start - 10) : error.end + 10].decode("utf-8", "backslashreplace")
    return DataError(
        f"'{stored.uri}', line {number}: bytes that are not UTF-8 (near {near!r}). Convert the file, "
        "e.g. iconv -f latin1 -t utf-8, or find the rows of another encoding."
    )


def _widened(column: pa.Array, rank: int) -> int:
    """The first kind, from a rank on, that holds a column's values."""
    if KINDS[rank] == pa.string() or column.null_count == len(column):
        return rank
    values = column.drop_null() if hasattr(column, "drop_null") else column
    while KINDS[rank] != pa.string() and not _holds(values, KINDS[rank]):
        # Numbers do not become booleans: what held numbers so far must be text then.
        rank = len(KINDS) - 1 if rank == 1 and _was_number(values) else rank + 1
    return rank


def _was_number(values: pa.Array) -> bool:
    words = pa.array(TRUE + FALSE)
    return not pc.all(pc.is_in(values, words)).as_py()


def _holds(values: pa.Array, kind: pa.DataType) -> bool:
    if kind == pa.bool_():
        return bool(pc.all(pc.is_in(values, pa.array(TRUE + FALSE))).as_py())
    if kind == pa.int64() and pc.any(pc.match_substring_regex(values, _LEADING_ZERO)).as_py():
        return False
    if (
        kind == pa.float64()
        and pc.any(pc.match_substring_regex(values, _LEADING_ZERO + r"[0-9]*$")).as_py()
    ):
        return False  # an identifier such as 00123, not a number
    try:
        pc.cast(values, kind)
    except pa.ArrowInvalid:
        return False
    return True
