"""Keeps requests and answers in rotating Parquet files, without a request ever waiting for it.

The event loop puts records into a bounded queue; a thread writes them. What does not fit, or cannot
be written, is dropped and counted.
"""

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from random import random
from time import perf_counter
from typing import Any

import pyarrow as pa

from shipway.components.lib.payload_log import REQUEST, RESPONSE, SCHEMA
from shipway.components.predictor.observing import Exchange, header_of
from shipway.components.predictor.payload_files import GROUP_BYTES, PayloadFiles, Place

logger = logging.getLogger(__name__)

MIB = 1 << 20
MOST_RECORDS = 20_000
MOST_BYTES = 64 * MIB
EVERY_SECONDS = 0.2
CLOSE_SECONDS = 10
CHUNK = 500
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
BINARY_HEADER = b"inference-header-content-length"

Record = tuple[str, str, float, str, str, bytes]


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
        self._files = PayloadFiles(place)
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


def namespace() -> str:
    """The namespace of this pod; "" outside of a cluster."""
    try:
        return os.environ.get("POD_NAMESPACE") or NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
