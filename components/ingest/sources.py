"""A source of rows: its format, its columns with types that hold for every row, and its batches."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pyarrow as pa

from shipway.components.ingest.columnar_formats import FORMATS as COLUMNAR
from shipway.components.ingest.columnar_reader import ColumnarReader
from shipway.components.ingest.columns import USUAL_MISSING, Markers, Typing
from shipway.components.ingest.compression import SUFFIXES as COMPRESSED
from shipway.components.ingest.csv_reader import CsvReader
from shipway.components.ingest.json_reader import JsonReader
from shipway.components.ingest.options import ReadOptions
from shipway.components.ingest.partitions import Partitions, partitions_of
from shipway.components.ingest.rejects import Rejects
from shipway.components.ingest.sql_address import Address
from shipway.components.ingest.sql_reader import QueryReader
from shipway.components.ingest.sqlite_reader import SqliteReader
from shipway.components.ingest.typed import look_at_the_beginning, typed
from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.objects import StoredObject

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".feather": "feather",
    ".arrow": "feather",
    ".ipc": "feather",
    ".orc": "orc",
    ".avro": "avro",
}
FORMATS = ("csv", "jsonl", *COLUMNAR)

Reader = CsvReader | JsonReader | ColumnarReader


@dataclass(frozen=True)
class Source:
    """Rows to read.

    Attributes:
        format: one of `FORMATS`, or the scheme of a database.
        schema: the kept columns; of text, of types that hold for the rows at its beginning.
        batches: reads the rows, from the beginning at each call; raises `TypesWidenedError` at
            their end when a row is of another type.
        notes: what a reader of the datasheet should know.
    """

    format: str
    schema: pa.Schema
    batches: Callable[[], Generator[pa.RecordBatch, None, None]]
    notes: list[str] = field(default_factory=list)


def choose_objects(
    objects: Sequence[StoredObject], data_format: str
) -> tuple[str, list[StoredObject], list[str]]:
    """Tell the format, and which objects are of it.

    Without a format, objects whose name tells of none (a README beside the data) are left out.

    Returns:
        The format, the objects to read, and the URIs that were left out.

    Raises:
        ConfigurationError: the format is unknown or cannot be told, or the objects mix formats.
        DataError: an object is empty.
    """
    if data_format not in ("", "auto", *FORMATS):
        raise ConfigurationError(
            f"data_format='{data_format}' is unknown: it is auto, {', '.join(FORMATS)}."
            f"{nearest(data_format, FORMATS)}"
        )
    used = list(objects)
    if data_format not in FORMATS:
        told = {one.uri: _format_of(one.uri) for one in objects}
        formats = sorted(set(told.values()) - {""})
        if not formats:
            raise ConfigurationError(
                f"The format of '{objects[0].uri}' cannot be told from its name; set data_format "
                f"to {', '.join(FORMATS)}."
            )
        if len(formats) > 1:
            raise ConfigurationError(
                f"The source mixes {' and '.join(formats)}; name objects of one format, e.g. by a "
                "glob such as *.csv."
            )
        data_format = formats[0]
        used = [one for one in objects if told[one.uri]]
    for stored in used:
        if stored.size == 0:
            raise DataError(f"'{stored.uri}' is empty. Leave it out, or write it again.")
    return data_format, used, [one.uri for one in objects if one not in used]


def _format_of(uri: str) -> str:
    name = (urlsplit(uri).path if uri.startswith(("http://", "https://")) else uri).lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return next((format for suffix, format in SUFFIXES.items() if name.endswith(suffix)), "")


def open_source(
    objects: Sequence[StoredObject],
    data_format: str,
    missing_values: Sequence[str],
    choose: Callable[[Sequence[str]], list[str]],
    row_limit: int = 0,
    options: ReadOptions | None = None,
    rejects: Rejects | None = None,
    base: str = "",
) -> Source:
    """Open a source, and find the columns' types: of CSV by its beginning, as a first guess.

    Args:
        objects: of one format.
        data_format: one of `FORMATS`.
        missing_values: cells to read as missing, beside blanks and, in text formats, the usual.
        choose: says which of all columns are kept; called before any row is read.
        row_limit: rows to read at most; 0 reads all.
        options: how text is read.
        rejects: takes the rows that cannot be read; none may be without it.
        base: where folders named KEY=VALUE begin that become columns; empty for nowhere.

    Raises:
        DataError: an object is broken, or objects disagree in their columns.
    """
    options = options or ReadOptions()
    rejects = rejects or Rejects()
    folders = partitions_of(objects, base) if base else Partitions()
    notes = [folders.note()] if folders.types else []
    reader = _reader(objects, data_format, options, rejects)
    names = folders.columns(reader.names)
    kept = choose(names)
    # Parquet has nulls of its own: only blanks and what the user names are missing besides.
    usual = () if isinstance(reader, ColumnarReader) else USUAL_MISSING
    markers = Markers.of(missing_values, names, usual)

    def batches() -> Iterator[pa.RecordBatch]:
        return _limited(folders.batches(reader, kept), row_limit)

    if isinstance(reader, ColumnarReader):
        schema = folders.schema(kept, reader.schema(folders.in_files(reader, kept)))
        return Source(data_format, schema, lambda: typed(batches(), schema, markers), notes)
    typing = Typing(markers, reader.numbers_in_text, options.rules)
    if isinstance(reader, CsvReader):
        reader.mark(markers)
        look_at_the_beginning(batches(), kept, typing)
        if reader.delimiter != ",":
            notes.append(f"Fields are parted by {reader.delimiter!r}.")
        return Source(
            data_format,
            typing.schema(kept),
            lambda: typed(batches(), typing.schema(kept), markers, options.rules, typing),
            notes,
        )
    for batch in batches():
        typing.look(batch)
    schema = typing.schema(kept)
    return Source(data_format, schema, lambda: typed(batches(), schema, markers), notes)


def _reader(
    objects: Sequence[StoredObject], data_format: str, options: ReadOptions, rejects: Rejects
) -> Reader:
    if data_format in COLUMNAR:
        return ColumnarReader(objects, data_format)
    return (CsvReader if data_format == "csv" else JsonReader)(objects, options, rejects)


def open_query(
    address: Address,
    missing_values: Sequence[str],
    choose: Callable[[Sequence[str]], list[str]],
    row_limit: int = 0,
) -> Source:
    """Send a query, and find its columns' types: the database's, or by all rows those of SQLite.

    Args:
        address: a database and what is asked of it.
        missing_values: cells to read as missing, beside nulls and blanks.
        choose: says which of all columns are kept; called before any row is read.
        row_limit: rows to read at most; 0 reads all.

    Raises:
        DataError: the database refuses or breaks off, or a column is of no plain type.
    """
    lines = " / ".join(line.strip() for line in address.query.splitlines())
    notes = [f"The query, of SHA-256 {address.query_sha256}: {lines}"]
    reader = (SqliteReader if address.scheme == "sqlite" else QueryReader)(address)
    try:
        kept = choose(reader.names)
        markers = Markers.of(missing_values, reader.names, usual=())

        def batches() -> Iterator[pa.RecordBatch]:
            return _limited(reader.batches(kept), row_limit)

        if isinstance(reader, QueryReader):
            schema = reader.schema(kept)
        else:
            typing = Typing(markers, reader.numbers_in_text)
            for batch in batches():
                typing.look(batch)
            schema = typing.schema(kept)
    except BaseException:
        reader.close()
        raise
    return Source(address.scheme, schema, lambda: typed(batches(), schema, markers), notes)


def _limited(batches: Iterator[pa.RecordBatch], limit: int) -> Iterator[pa.RecordBatch]:
    left = limit
    for batch in batches:
        yield batch.slice(0, left) if limit else batch
        left -= batch.num_rows
        if limit and left <= 0:
            return
