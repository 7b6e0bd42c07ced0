"""Keeps requests and answers in rotating Parquet files, without a request ever waiting for it.

The event loop puts records into a bounded queue; a thread writes them. What does not fit, or cannot
be written, is dropped and counted.
"""

import json
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import random
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shipway.components.lib.payload_log import REQUEST, RESPONSE, SCHEMA
from shipway.components.predictor.observing import Exchange, header_of

logger = logging.getLogger(__name__)

MIB = 1 << 20
MOST_RECORDS = 20_000
MOST_BYTES = 64 * MIB
EVERY_SECONDS = 0.2
CLOSE_SECONDS = 10
CHUNK = 500
GROUP_BYTES = 4 * MIB
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
BINARY_HEADER = b"inference-header-content-length"

Record = tuple[str, str, float, str, str, bytes]


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


class PayloadLog:
    """The queue and its thread."""

    def __init__(self, place: Place, service: str, source: str, about: Mapping[str, str]) -> None:
        """Begin to write.

        Args:
            place: where to.
            service: the name of the InferenceService, which is that of the model.
            source: the URL of this server.
            about: annotations of every record: the version and the digest of the model.
        """
        self._share = place.share
        self._most = min(GROUP_BYTES, place.file_bytes)
        self._queue: deque[Record] = deque()
        # Each has one writer, so that none needs a lock: the event loop, or the thread.
        self._put_bytes = self._flooded = 0
        self._taken_bytes = 0
        self._constant = {
            "specversion": "1.0",
            "source": source,
            "inferenceservicename": service,
            "namespace": namespace(),
            "component": "predictor",
            "endpoint": "default",
            "annotations": json.dumps(about, sort_keys=True),
        }
        self._files = _Files(place)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="payload-log", daemon=True)
        self._thread.start()

    def offer(self, exchange: Exchange, ended: float) -> None:
        """Keep a prediction, if it is among those that are kept; called on the event loop."""
        if random() >= self._share:
            return
        size = len(exchange.body) + len(exchange.answer)
        full = len(self._queue) >= MOST_RECORDS
        if full or self._put_bytes - self._taken_bytes + size > MOST_BYTES:
            self._flooded += 2 if exchange.status == 200 else 1
            return
        self._put_bytes += size
        headers = exchange.scope["headers"]
        now, passed = time.time(), perf_counter()
        plain = "application/grpc" if exchange.kind == "grpc" else "application/json"
        event_id = header_of(headers, b"ce-id") or exchange.request_id.decode("ascii")
        for kind, moment, heads, body in (
            (REQUEST, exchange.began, headers, exchange.body),
            (RESPONSE, exchange.answered or ended, exchange.headers, exchange.answer),
        ):
            length = header_of(heads, BINARY_HEADER)
            metadata = f'{{"Inference-Header-Content-Length":[{json.dumps(length)}]}}'
            self._queue.append(
                (
                    event_id,
                    kind,
                    now - (passed - moment),
                    header_of(heads, b"content-type") or plain,
                    metadata if length else "{}",
                    body,
                )
            )
            if exchange.status != 200:  # as KServe's logger: an answer that is none is not kept
                return

    def counts(self) -> dict[str, int]:
        """Records that were written, and that were dropped."""
        return {
            "written": self._files.written,
            "dropped_queue": self._flooded,
            "dropped_disk": self._files.lost,
        }

    def close(self) -> None:
        """Write what is there, and end."""
        self._ended.set()
        self._thread.join(CLOSE_SECONDS)
        counts = self.counts()
        if counts["dropped_queue"] or counts["dropped_disk"]:
            logger.warning("The payload log wrote and dropped: %s.", counts)

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(EVERY_SECONDS)
            while records := self._taken():
                size = sum(len(record[-1]) for record in records)
                self._files.add(self._table(records), size)
                self._taken_bytes += size
            self._files.look()
        self._files.close()

    def _taken(self) -> list[Record]:
        records: list[Record] = []
        size = 0
        while self._queue and len(records) < CHUNK and size < self._most:
            records.append(self._queue.popleft())
            size += len(records[-1][-1])
        return records

    def _table(self, records: list[Record]) -> pa.Table:
        ids, kinds, moments, types, metadata, bodies = zip(*records, strict=True)
        count = len(records)
        varying: dict[str, Any] = {
            "id": ids,
            "type": kinds,
            "time": pa.array([int(moment * 1e6) for moment in moments]),
            "recordedtime": pa.repeat(int(time.time() * 1e6), count),
            "datacontenttype": types,
            "metadata": metadata,
            "data": bodies,
        }
        for name, value in self._constant.items():
            varying[name] = pa.repeat(value, count)
        columns = [
            pa.array(column, field.type) if isinstance(column, tuple) else column.cast(field.type)
            for field in SCHEMA
            for column in [varying[field.name]]
        ]
        return pa.table(columns, SCHEMA)


class _Files:
    """Parquet files one after the other, each renamed into sight when it is whole."""

    def __init__(self, place: Place) -> None:
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

    def _guarded(self, step: Any) -> None:
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


def namespace() -> str:
    """The namespace of this pod; "" outside of a cluster."""
    try:
        return os.environ.get("POD_NAMESPACE") or NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
