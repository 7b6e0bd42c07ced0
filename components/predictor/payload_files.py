"""The Parquet files of the payload log."""

import logging
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shipway.components.lib.payload_log import SCHEMA

logger = logging.getLogger(__name__)

MIB = 1 << 20
GROUP_BYTES = 4 * MIB


@dataclass(frozen=True)
class Place:
    """Where the log goes, and when a file is full.

    Attributes:
        folder: for the files; it is made where it is missing.
        share: of the predictions that are kept.
        file_bytes: of bodies, after which the next file is begun.
        file_seconds: after which it is begun at the latest.
    """

    folder: Path
    share: float = 1.0
    file_bytes: int = 64 * MIB
    file_seconds: float = 300.0


class PayloadFiles:
    """Parquet files one after the other, each renamed into sight when it is whole.

    Attributes:
        written: records that stand in whole files.
        lost: records that could not be written.
    """

    def __init__(self, place: Place) -> None:
        """Begin a file with the first record."""
        self._place = place
        self._writer: pq.ParquetWriter | None = None
        self._draft = self._path = place.folder
        self._tables: list[pa.Table] = []
        self._waiting = self._bytes = self._rows = self._count = 0
        self._began = 0.0
        self._own = uuid.uuid4().hex[:8]
        self._failing = False
        self.written = self.lost = 0

    def add(self, table: pa.Table, size: int) -> None:
        """Take records; they are written once there are enough for a row group."""
        if not self._rows:
            self._began = time.monotonic()
        self._tables.append(table)
        self._rows += table.num_rows
        self._waiting += size
        self._bytes += size
        if self._waiting >= GROUP_BYTES:
            self._guarded(self._write)
        if self._bytes >= self._place.file_bytes:
            self.close()

    def look(self) -> None:
        """End a file that is old enough."""
        if self._rows and time.monotonic() - self._began >= self._place.file_seconds:
            self.close()

    def close(self) -> None:
        """End the file, if there is one."""
        if self._rows:
            self._guarded(self._finish)

    def _write(self) -> None:
        if self._writer is None:
            self._place.folder.mkdir(parents=True, exist_ok=True)
            self._count += 1
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{self._own}-{self._count:06d}.parquet"
            self._path = self._place.folder / name
            self._draft = self._place.folder / f".{name}.partial"
            self._writer = pq.ParquetWriter(self._draft, SCHEMA, compression="zstd")
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables))
        self._tables, self._waiting = [], 0

    def _finish(self) -> None:
        self._write()
        assert self._writer is not None
        self._writer.close()
        os.replace(self._draft, self._path)
        self.written += self._rows
        self._forget()
        if self._failing:
            self._failing = False
            logger.info("The payload log is written again.")

    def _guarded(self, step: Callable[[], None]) -> None:
        """Do a step; what cannot be written is dropped, and said once."""
        try:
            step()
        except (OSError, pa.ArrowException) as error:
            self.lost += self._rows
            if not self._failing:
                self._failing = True
                logger.error(
                    "The payload log cannot be written to '%s': %s. Predictions go on; records are "
                    "dropped and counted until it can be.",
                    self._place.folder,
                    error,
                )
            self._abandon()

    def _abandon(self) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        except (OSError, pa.ArrowException):
            pass
        try:
            if self._writer is not None:
                self._draft.unlink(missing_ok=True)
        except OSError:
            pass
        self._forget()

    def _forget(self) -> None:
        self._writer = None
        self._tables = []
        self._waiting = self._bytes = self._rows = 0
