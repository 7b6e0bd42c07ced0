"""Formats that say of what type a column is: Parquet, Arrow (Feather) and ORC."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc, orc

from shipway.components.ingest import avro

RUN_BYTES = 128 << 20


@dataclass(frozen=True)
class Format:
    """How a format is read.

    Attributes:
        word: its name in a message.
        schema: reads the columns and their types from an open file.
        batches: reads the rows of some columns, so many at a time.
    """

    word: str
    schema: Callable[[BinaryIO], pa.Schema]
    batches: Callable[[BinaryIO, Sequence[str], int], Iterator[pa.RecordBatch]]


def _parquet_schema(file: BinaryIO) -> pa.Schema:
    return pq.ParquetFile(file).schema_arrow


def _parquet(file: BinaryIO, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    opened = pq.ParquetFile(file)
    for groups in _runs(opened.metadata):
        yield from opened.iter_batches(rows, groups, columns=list(columns))


def _runs(metadata: pq.FileMetaData) -> Iterator[list[int]]:
    """Row groups to read in one go: pyarrow keeps all bytes that it fetched until a call ends."""
    run: list[int] = []
    held = 0
    for place in range(metadata.num_row_groups):
        size = metadata.row_group(place).total_byte_size
        if run and held + size > RUN_BYTES:
            yield run
            run, held = [], 0
        run.append(place)
        held += size
    yield run


def _arrow_schema(file: BinaryIO) -> pa.Schema:
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"FEA1"):
        raise ValueError("Feather of version 1, which is not read: write it in version 2")
    is_file = start == b"ARROW1"
    return (ipc.open_file(file) if is_file else ipc.open_stream(file)).schema


def _arrow(file: BinaryIO, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    schema = _arrow_schema(file)
    file.seek(0)
    wanted = [schema.get_field_index(name) for name in columns]
    options = ipc.IpcReadOptions(included_fields=wanted)
    if file.read(6) == b"ARROW1":
        reader = ipc.open_file(file, options=options)
        batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
    else:
        file.seek(0)
        batches = iter(ipc.open_stream(file, options=options))
    for batch in batches:
        yield from _slices(batch, rows)


def _orc_schema(file: BinaryIO) -> pa.Schema:
    return orc.ORCFile(file).schema


def _orc(file: BinaryIO, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    opened = orc.ORCFile(file)
    for place in range(opened.nstripes):
        yield from _slices(opened.read_stripe(place, columns=list(columns)), rows)


def _slices(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


FORMATS = {
    "parquet": Format("Parquet", _parquet_schema, _parquet),
    "feather": Format("Arrow (Feather)", _arrow_schema, _arrow),
    "orc": Format("ORC", _orc_schema, _orc),
    "avro": Format("Avro", avro.read_schema, avro.read_batches),
}
