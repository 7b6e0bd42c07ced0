"""A source of rows: its format, its columns with types that hold for every row, and its batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from shipway.components.ingest.columns import Missing, Typing, converted
from shipway.components.ingest.csv_reader import CsvReader
from shipway.components.ingest.json_reader import JsonReader
from shipway.components.ingest.parquet_reader import ParquetReader
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
}
FORMATS = ("csv", "parquet", "jsonl")

Reader = CsvReader | JsonReader | ParquetReader
READERS: dict[str, Callable[[Sequence[StoredObject]], Reader]] = {
    "csv": CsvReader,
    "jsonl": JsonReader,
    "parquet": ParquetReader,
}


@dataclass(frozen=True)
class Source:
    """Rows to read.

    Attributes:
        format: csv, parquet or jsonl.
        schema: the kept columns, of types that hold for every row of every object.
        batches: reads the rows, from the beginning at each call.
        notes: what a reader of the datasheet should know.
    """

    format: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
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
    name = uri.lower().removesuffix(".gz")
    return next((format for suffix, format in SUFFIXES.items() if name.endswith(suffix)), "")


def open_source(
    objects: Sequence[StoredObject],
    data_format: str,
    missing_values: Sequence[str],
    choose: Callable[[Sequence[str]], list[str]],
    row_limit: int = 0,
) -> Source:
    """Look at all rows that will be read, and settle the columns' types.

    Args:
        objects: of one format.
        data_format: csv, parquet or jsonl.
        missing_values: cells to read as missing, beside blanks and, in text formats, the usual.
        choose: says which of all columns are kept; called before any row is read.
        row_limit: rows to read at most; 0 reads all.

    Raises:
        DataError: an object is broken, or objects disagree in their columns.
    """
    notes: list[str] = []
    reader = READERS[data_format](objects)
    kept = choose(reader.names)
    if isinstance(reader, ParquetReader):
        # Parquet has nulls of its own: only blanks and what the user names are missing besides.
        missing, schema = Missing.of(missing_values, usual=()), reader.schema(kept)
    else:
        missing = Missing.of(missing_values)
        typing = Typing(missing, reader.numbers_in_text)
        for batch in _limited(reader.batches(kept), row_limit):
            typing.look(batch)
        schema = pa.schema([(name, typing.kind_of(name)) for name in kept])
    if isinstance(reader, CsvReader) and reader.delimiter != ",":
        notes.append(f"Fields are parted by {reader.delimiter!r}.")
    return Source(
        data_format,
        schema,
        lambda: _typed(_limited(reader.batches(kept), row_limit), schema, missing),
        notes,
    )


def _limited(batches: Iterator[pa.RecordBatch], limit: int) -> Iterator[pa.RecordBatch]:
    left = limit
    for batch in batches:
        yield batch.slice(0, left) if limit else batch
        left -= batch.num_rows
        if limit and left <= 0:
            return


def _typed(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, missing: Missing
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns = [
            converted(batch.column(batch.schema.get_field_index(one.name)), one.type, missing)
            for one in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
