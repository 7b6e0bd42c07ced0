"""Minutes of steady load, one request in a hundred bad, and a server that is replaced under it.

SOAK_SECONDS=600 SOAK_RATE=2000 pytest tests/serving/test_soak.py   # ten minutes, 2,000 a second
"""

import json
import os
import random
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from shipway.components.lib import handover

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
RATE = float(os.environ.get("SOAK_RATE", "200"))
WARM_SECONDS = 12.0
WINDOW_SECONDS = 5.0
THREADS = 4
V1, V2 = "/v1/models/trips:predict", "/v2/models/trips/infer"

pytestmark = pytest.mark.slow


def post(path: str, body: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (
        path.encode(),
        len(body),
        body,
    )


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


READY = get("/v2/health/ready")


def mixture(rows: list[dict], names: list[str]) -> list[tuple[bytes, int, int]]:
    """Requests, the status that each must get, and how many in a thousand are such."""
    lists = [[row[name] for name in names] for row in rows]
    tensors = [
        {"name": name, "shape": [1], "datatype": kind, "data": [rows[0][name]]}
        for name, kind in (("fare", "FP64"), ("passengers", "INT64"))
    ]
    return [
        (post(V1, json.dumps({"instances": rows[:1]}).encode()), 200, 500),
        (post(V1, json.dumps({"instances": lists[:1]}).encode()), 200, 250),
        (post(V1, json.dumps({"instances": rows[:30]}).encode()), 200, 140),
        (post(V1, json.dumps({"instances": rows}).encode()), 200, 5),  # in a thread
        (READY, 200, 50),
        (get("/v2/models/trips"), 200, 25),
        (get("/metrics"), 200, 20),
        (post(V1, b"{not json"), 400, 3),
        (post(V1, json.dumps({"instances": [{"fare": "much"}]}).encode()), 400, 3),
        (post(V2, json.dumps({"inputs": tensors}).encode()), 400, 2),
        (get("/v1/models/other"), 404, 2),
    ]


class Load:
    """Callers that ask at a steady rate, mostly on connections that they keep."""

    def __init__(self, port: int, requests: list[tuple[bytes, int, int]]) -> None:
        self.port = port
        self.requests = requests
        self.weights = [weight for *_, weight in requests]
        self.taken: list[tuple[float, float]] = []  # when it was asked, and how long it took
        self.wrong: list[str] = []
        self.stop, self.ending = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(i,)) for i in range(THREADS)]

    def ask(self, number: int) -> None:
        draw, connection = random.Random(number), None
        due = time.monotonic()
        while not self.stop.is_set():
            due = max(due + THREADS / RATE, time.monotonic() - 0.1)  # what was missed stays so
            time.sleep(max(0.0, due - time.monotonic()))
            request, wanted, _ = draw.choices(self.requests, self.weights)[0]
            began = time.monotonic()
            try:
                connection = connection or socket.create_connection(("127.0.0.1", self.port), 20)
                connection.sendall(request)
                status, closed = read_answer(connection)
            except OSError as error:
                status, closed = repr(error), True
            self.taken.append((began, time.monotonic() - began))
            if status == 503 and request == READY and self.ending.is_set():
                status = wanted  # a server that ends says so
            if status != wanted:
                self.wrong.append(f"{request[:40]!r}: {status}")
            if closed or draw.random() < 0.05:
                connection = connection and connection.close()

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def p99(self, start: float, end: float) -> float:
        """The median over windows of the 99th percentile within each."""
        edges = np.arange(start, end - WINDOW_SECONDS / 2, WINDOW_SECONDS)
        windows = [
            [took for began, took in self.taken if edge <= began < edge + WINDOW_SECONDS]
            for edge in edges
        ]
        return float(np.median([np.quantile(window, 0.99) for window in windows]))


def read_answer(connection: socket.socket) -> tuple[int, bool]:
    """The status of an answer, and whether it ends the connection."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += received(connection)
    head, _, body = text.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    left = length - len(body)
    while left:
        left -= len(received(connection))
    return int(head[9:12]), b"connection: close" in head.lower()


def received(connection: socket.socket) -> bytes:
    part = connection.recv(262_144)
    if not part:
        raise ConnectionError("closed without an answer")
    return part


def resident(process) -> int:
    """The memory of a process in KiB."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def watch(process, seconds: float) -> list[int]:
    """Its memory, sampled for a while."""
    samples, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        samples.append(resident(process))
        time.sleep(0.5)
    return samples


@pytest.mark.timeout(SECONDS + 300)
def test_under_steady_load_nothing_grows_slows_or_is_lost(binary, serving, tmp_path):
    door = tmp_path / "door"
    with serving(binary.path, "--handover", door) as first:
        port = int(first.url.rsplit(":", 1)[1])
        with Load(port, mixture(binary.rows, binary.names)) as load:
            time.sleep(WARM_SECONDS)
            began = time.monotonic()
            memory = watch(first.process, SECONDS)
            ended = time.monotonic()
            load.ending.set()
            with (
                handover.take(door) as listener,
                serving(binary.path, listener=listener.fileno()) as second,
            ):
                first.process.send_signal(signal.SIGTERM)
                assert first.process.wait(20) == 0
                handed = time.monotonic()
                time.sleep(3)
                load.stop.set()
                for thread in load.threads:
                    thread.join()
                assert "Traceback" not in second.text()
    asked = sum(began <= when < ended for when, _ in load.taken)
    after = sum(when > handed for when, _ in load.taken)
    middle = (began + ended) / 2
    early, late = load.p99(began, middle), load.p99(middle, ended)
    part = max(1, len(memory) // 5)
    before, grown = np.median(memory[:part]), np.median(memory[-part:])
    print(
        f"\n{asked:,} requests at {asked / (ended - began):,.0f}/s in {ended - began:.0f} s, "
        f"{len(load.wrong)} wrong; p99 {early * 1e3:.2f} then {late * 1e3:.2f} ms; "
        f"RSS {before / 1024:.1f} then {grown / 1024:.1f} MiB"
    )
    assert load.wrong == []
    assert asked > 0.5 * RATE * SECONDS and after > 0.3 * RATE * 3
    assert grown <= 1.05 * before
    if "SOAK_SECONDS" in os.environ:  # a time, which other work on a machine may change
        assert late <= 2 * early
    assert "Traceback" not in first.text()
