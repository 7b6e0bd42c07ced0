"""The parts of a table, encoded by a thread of their own while the next rows are made."""

import hashlib
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shipway.components.lib.files import sha256_of

ROW_GROUP = 65_536
ROWS_PER_PART = 1_048_576
_GROUPS_WAITING = 2


class PartWriter:
    """Writes row groups to `part-00000.parquet`, `part-00001.parquet`, ... in a directory.

    Attributes:
        rows: written so far.
        bytes: of the parts that are whole.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        """Start the thread."""
        self.rows = 0
        self.bytes = 0
        self._folder = folder
        self._schema = schema
        # Numbers are smaller and three times as fast to write without a dictionary.
        self._with_dictionary = [one.name for one in schema if one.type == pa.string()]
        self._digest = hashlib.sha256()
        self._writer: pq.ParquetWriter | None = None
        self._sink: pa.OSFile | None = None
        self._parts = 0
        self._rows_in_part = 0
        self._failure: BaseException | None = None
        self._waiting: queue.Queue[pa.Table | None] = queue.Queue(_GROUPS_WAITING)
        self._thread = threading.Thread(target=self._run, daemon=True, name="write-parts")
        self._thread.start()

    def write(self, group: pa.Table) -> None:
        """Hand over a row group; waits while two others wait.

        Raises:
            OSError: a group before it could not be written.
        """
        self._raise()
        self._waiting.put(group)

    def finish(self) -> str:
        """Write what waits, and close the last part.

        Returns:
            SHA-256 over the names and the bytes of the parts, in order.

        Raises:
            OSError: a group could not be written.
        """
        self._waiting.put(None)
        self._thread.join()
        self._raise()
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """End the thread and let go of the open part."""
        if self._thread.is_alive():
            self._failure = self._failure or InterruptedError("abandoned")
            self._waiting.put(None)
            self._thread.join()
        # A deleted file that is open still fills the disk.
        for handle in (self._writer, self._sink):
            if handle is not None:
                with suppress(OSError, pa.ArrowInvalid):
                    handle.close()
        self._writer = self._sink = None

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (group := self._waiting.get()) is not None:
            self._try(lambda group=group: self._write(group))  # type: ignore[misc]
        self._try(self._end)

    def _try(self, work: Callable[[], None]) -> None:
        """Do a piece of work, unless another has failed: the queue is emptied in any case."""
        if self._failure is None:
            try:
                work()
            except BaseException as error:  # raised again by the thread that writes
                self._failure = error

    def _write(self, group: pa.Table) -> None:
        if self._writer is None or self._rows_in_part >= ROWS_PER_PART:
            self._next_part()
        assert self._writer is not None
        self._writer.write_table(group, row_group_size=ROW_GROUP)
        self._rows_in_part += group.num_rows
        self.rows += group.num_rows

    def _end(self) -> None:
        if self._parts == 0:
            self._next_part()  # a table without rows keeps its columns
        self._close_part()

    def _path(self) -> Path:
        return self._folder / f"part-{self._parts - 1:05d}.parquet"

    def _next_part(self) -> None:
        self._close_part()
        self._parts += 1
        self._rows_in_part = 0
        self._sink = pa.OSFile(str(self._path()), "wb")
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression="zstd",
            version="2.6",  # keeps nanoseconds; older pyarrow has another default
            use_dictionary=self._with_dictionary,
        )

    def _close_part(self) -> None:
        if self._writer is None or self._sink is None:
            return
        self._writer.close()
        self._sink.close()
        self._writer = None
        part = self._path()
        self._digest.update(f"{part.name}:{sha256_of(part)}\n".encode())
        self.bytes += part.stat().st_size
