"""The Dataset artifact: a directory of Parquet parts, written and read as a stream.

`part-00000.parquet`, `part-00001.parquet`, ...: zstd, row groups of 65,536 rows, sorted names. What
begins with "_" beside them is no part of the table.
"""

import datetime
import errno
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from shipway.components.lib.errors import DataError
from shipway.components.lib.files import aside
from shipway.components.lib.parts import ROW_GROUP, PartWriter

CELLS_PER_GROUP = 16 << 20


@dataclass(frozen=True)
class TableSummary:
    """What a written table holds.

    Attributes:
        rows: number of rows.
        columns: number of columns.
        bytes: size of the parts on disk.
        sha256: over the names and the bytes of the parts, in order.
    """

    rows: int
    columns: int
    bytes: int
    sha256: str

    def metadata(self) -> dict[str, str | float]:
        """Flat artifact metadata: texts and finite floats, as KFP stores them."""
        return {
            "rows": float(self.rows),
            "columns": float(self.columns),
            "bytes": float(self.bytes),
            "sha256": self.sha256,
        }


class TableWriter:
    """Writes a Dataset directory, whole or not at all.

    A context manager: batches go in by `write`, and `summary` stands after the block. A failure in
    the block leaves nothing at the path.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Prepare to write rows of a schema to a directory."""
        self._path = Path(path)
        self._schema = schema
        # A group of a wide table would fill the memory at its usual number of rows.
        self._group = min(ROW_GROUP, max(1_024, CELLS_PER_GROUP // max(len(schema), 1)))
        self._stack = ExitStack()
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self.summary: TableSummary | None = None

    def __enter__(self) -> "TableWriter":
        """Open the directory aside."""
        self._draft = self._stack.enter_context(aside(self._path))
        self._draft.mkdir()
        self._parts = PartWriter(self._draft, self._schema)
        return self

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Append rows, in the order of the schema's columns.

        Raises:
            DataError: the disk is full.
        """
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
        if table.schema != self._schema:
            table = table.select(self._schema.names).cast(self._schema)
        batches = table.to_batches()
        self._pending += batches
        self._pending_rows += sum(batch.num_rows for batch in batches)
        if self._pending_rows >= self._group:
            self._flush(whole_groups=True)

    def attach(self, name: str, content: BinaryIO) -> None:
        """Put a file beside the parts; readers of the table pass over a name that begins with "_".

        Raises:
            DataError: the disk is full.
        """
        try:
            with (self._draft / name).open("wb") as file:
                shutil.copyfileobj(content, file)
        except OSError as error:
            raise self._explained(error) from error

    def _flush(self, whole_groups: bool) -> None:
        table = pa.Table.from_batches(self._pending, self._schema)
        keep = table.num_rows % self._group if whole_groups else 0
        ready, rest = table.slice(0, table.num_rows - keep), table.slice(table.num_rows - keep)
        self._pending, self._pending_rows = rest.to_batches(), rest.num_rows
        try:
            for start in range(0, ready.num_rows, self._group):
                self._parts.write(ready.slice(start, self._group))
        except OSError as error:
            raise self._explained(error) from error

    def _explained(self, error: OSError) -> Exception:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            return DataError(
                f"The disk of '{self._path.parent}' is full after {self._parts.rows:,} rows; "
                "nothing was left there. Free space, or point the run at a larger disk."
            )
        return error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the last part and move the directory into place, or remove it."""
        if kind is not None:
            self._parts.abandon()
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            try:
                self._flush(whole_groups=False)
                digest = self._parts.finish()
            except OSError as failure:
                self._parts.abandon()
                raise self._explained(failure) from failure
            except BaseException:
                self._parts.abandon()
                raise
            columns = len(self._schema)
            self.summary = TableSummary(self._parts.rows, columns, self._parts.bytes, digest)


def write_table(table: pa.Table, path: Path) -> TableSummary:
    """Write a table in memory as a Dataset directory."""
    with TableWriter(path, table.schema) as writer:
        writer.write(table)
    assert writer.summary is not None
    return writer.summary


def _parts(path: Path) -> list[Path]:
    parts = sorted(Path(path).glob("*.parquet"))
    if not parts:
        raise DataError(
            f"There is no table at '{path}': a Dataset is a directory of Parquet parts. "
            "Check that the step which writes it has finished."
        )
    return parts


def read_schema(path: Path) -> pa.Schema:
    """The Arrow schema of a Dataset directory.

    Raises:
        DataError: the directory is missing or empty.
    """
    return pq.read_schema(_parts(path)[0])


def count_rows(path: Path) -> int:
    """The number of rows of a Dataset directory, from the footers alone."""
    return sum(pq.read_metadata(part).num_rows for part in _parts(path))


def read_batches(
    path: Path, columns: Sequence[str] | None = None, batch_size: int = ROW_GROUP
) -> Iterator[pa.RecordBatch]:
    """Read a Dataset directory batch by batch.

    Raises:
        DataError: the directory is missing or empty.
    """
    names = None if columns is None else list(columns)
    for part in _parts(path):
        with pq.ParquetFile(part, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=batch_size, columns=names)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a whole Dataset directory into memory.

    Raises:
        DataError: the directory is missing or empty.
    """
    schema = read_schema(path)
    names = schema.names if columns is None else list(columns)
    kept = pa.schema([schema.field(name) for name in schema.names if name in names])
    return pa.Table.from_batches(list(read_batches(path, names)), kept).select(names)


def json_value(value: Any) -> Any:
    """A raw cell as it stands in a JSON request.

    Returns:
        int, float, bool, str, or None for null and NaN; ISO 8601 text for dates and timestamps (a
        time with a zone is given in UTC and ends in "Z"); text for decimals.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        utc = value.astimezone(datetime.UTC)
        return utc.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table as JSON objects, one a row, by column name."""
    columns = {
        name: [json_value(value) for value in table.column(name).to_pylist()]
        for name in table.column_names
    }
    return [
        {name: values[index] for name, values in columns.items()} for index in range(table.num_rows)
    ]
