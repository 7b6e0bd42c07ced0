"""Real model servers on loopback: most are forked, for imports are most of a start."""

import functools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.forking import Forked, Forking

START_SECONDS = 60


@dataclass
class Served:
    """A running model server."""

    process: subprocess.Popen | Forked
    url: str
    log: list[str]
    client: httpx.Client = field(repr=False)
    seconds: float = 0.0

    def post(self, path: str, **arguments) -> httpx.Response:
        return self.client.post(self.url + path, **arguments)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(self.url + path)

    def predict(self, rows: list) -> httpx.Response:
        return self.post("/v1/models/trips:predict", json={"instances": rows})

    def infer(self, payload: object) -> httpx.Response:
        return self.post("/v2/models/trips/infer", json=payload)

    def text(self) -> str:
        return "".join(self.log)

    @property
    def grpc(self) -> str:
        """Where gRPC answers: it is told before REST is ready."""
        return re.search(r"answers V2 gRPC on ([^ ]+:\d+)", self.text())[1]


# XGBoost imports scikit-learn where it is, for most of a server's start; the serve image has none.
PREDICTOR = (
    "import runpy, sys; sys.modules['sklearn'] = None; "
    "runpy.run_module('shipway.components.predictor', run_name='__main__', alter_sys=True)"
)
IMPORTS = """
import sys
sys.modules["sklearn"] = None
sys.argv[1:] = ["--configure_logging", "false"]
import shipway.components.predictor.loading
import shipway.components.predictor.payload_log
from shipway.components.predictor.sdk import import_sdk
import_sdk()
import shipway.components.predictor.server
"""


@functools.cache
def forking() -> Forking:
    return Forking(IMPORTS)


def start_process(*flags: object, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen:
    """A server in an interpreter of its own, as a pod starts it."""
    command = [sys.executable, "-c", PREDICTOR, *map(str, flags)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
        pass_fds=pass_fds,
    )


@contextmanager
def run_server(
    path: Path, *flags: object, client: httpx.Client | None = None, listener: int | None = None
) -> Iterator[Served]:
    """Run a server on a free port until the block ends, and end it as Kubernetes would."""
    began = time.monotonic()
    if listener is None:
        process = forking().start(PREDICTOR, "--model_dir", path, "--http_port", 0, *flags)
    else:
        place = ["--http_fd", listener]
        process = start_process("--model_dir", path, *place, *flags, pass_fds=(listener,))
    log: list[str] = []
    lines = threading.Thread(target=lambda: log.extend(process.stdout), daemon=True)
    lines.start()
    try:
        with client or httpx.Client(trust_env=False, timeout=30.0) as caller:
            url = _await_ready(process, log, caller, began + START_SECONDS)
            yield Served(process, url, log, caller, time.monotonic() - began)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            process.kill()
            lines.join(5)


def _await_ready(process, log, client, deadline) -> str:
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"answers on (https?://[^/]+)/", "".join(log))
        if found:
            try:
                if client.get(f"{found[1]}/v2/health/ready").status_code == 200:
                    return found[1]
            except httpx.ConnectError:
                pass
        time.sleep(0.02)
    raise AssertionError(f"the server did not become ready:\n{''.join(log)}")


def run_refused(*flags: object) -> tuple[int, str]:
    """Start a server that must not come up: its exit status and what it said."""
    process = forking().start(PREDICTOR, *flags)
    try:
        text = process.read(timeout=START_SECONDS)
    finally:
        process.kill()
    return process.wait(), text
