"""A source of rows: its columns, known before the first row is kept, and its batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from shipway.components.ingest.csv_reader import csv_source_parts
from shipway.components.ingest.json_reader import json_source_parts
from shipway.components.ingest.parquet_reader import parquet_source_parts
from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.storage import StoredObject

SUFFIXES = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
FORMATS = ("csv", "parquet", "jsonl")
USUAL_MISSING = ["", " ", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A"]


@dataclass(frozen=True)
class Source:
    """Rows to read.

    Attributes:
        format: csv, parquet or jsonl.
        schema: the columns, of types that hold for every row of every object.
        batches: reads the rows, from the beginning at each call.
    """

    format: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]


def open_source(
    objects: Sequence[StoredObject], data_format: str, missing_values: Sequence[str]
) -> Source:
    """Look at all objects and settle the columns' types.

    Raises:
        ConfigurationError: the format is unknown or cannot be told.
        DataError: an object is empty or broken, or objects disagree in their columns.
    """
    chosen = _format(objects, data_format)
    for stored in objects:
        if stored.size == 0:
            raise DataError(f"'{stored.uri}' is empty. Leave it out, or write it again.")
    if chosen == "csv":
        missing = [*USUAL_MISSING, *missing_values]
        return Source(chosen, *csv_source_parts(objects, missing))
    if chosen == "jsonl":
        return Source(chosen, *json_source_parts(objects, {*USUAL_MISSING, *missing_values}))
    return Source(chosen, *parquet_source_parts(objects))


def _format(objects: Sequence[StoredObject], data_format: str) -> str:
    if data_format in FORMATS:
        return data_format
    if data_format not in ("", "auto"):
        raise ConfigurationError(
            f"data_format='{data_format}' is unknown: it is auto, {', '.join(FORMATS)}."
            f"{nearest(data_format, FORMATS)}"
        )
    found = {
        next((f for suffix, f in SUFFIXES.items() if one.uri.lower().endswith(suffix)), "")
        for one in objects
    }
    if len(found) == 1 and "" not in found:
        return found.pop()
    if "" in found:
        raise ConfigurationError(
            f"The format of '{objects[0].uri}' cannot be told from its name; set data_format to "
            f"{', '.join(FORMATS)}."
        )
    raise ConfigurationError(
        f"The source mixes {', '.join(sorted(found))}; name objects of one format, e.g. by a glob."
    )
