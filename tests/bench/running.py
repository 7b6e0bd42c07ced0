"""A peer that was started: where it answers, and what CPU and memory it takes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import click
import httpx
import psutil

from tests.bench.peers import Peer, environment, free_port

START_SECONDS = 120


class Running:
    """A started peer."""

    def __init__(self, peer: Peer, root: Path, model: Path, with_grpc: bool) -> None:
        """Start it and wait until it says that it is ready."""
        self.peer = peer
        folder = root / "run" / peer.name
        folder.mkdir(parents=True, exist_ok=True)
        self.http, self.grpc = free_port(), free_port() if with_grpc else 0
        if peer.requirements and not self.grpc:
            self.grpc = free_port()  # the peers listen for gRPC in any case
        self.log = folder / "log"
        command = peer.command(environment(peer, root), model, folder, self.http, self.grpc)
        began = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log, stderr=log, cwd=folder, env=os.environ | peer.variables,
            )  # fmt: skip
        self._tree = psutil.Process(self._process.pid)
        try:
            self._await_ready(began + START_SECONDS)
        except BaseException:
            self.stop()
            raise
        self.ready_seconds = time.monotonic() - began
        self.ready_cpu = self.cpu()
        self.ready_rss = self.rss()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.http}"

    def cpu(self) -> float:
        """Seconds of CPU that the process and its children have used."""
        return float(sum(sum(process.cpu_times()[:4]) for process in self._processes()))

    def rss(self) -> float:
        """MiB of memory of the process and its children."""
        return float(sum(process.memory_info().rss for process in self._processes()) / 2**20)

    def stop(self) -> None:
        """End it, as a cluster would, and what it may have left behind."""
        processes = self._processes()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for process in processes[1:]:
            if process.is_running():
                process.kill()

    def _processes(self) -> list[psutil.Process]:
        try:
            return [self._tree, *self._tree.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _await_ready(self, deadline: float) -> None:
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    if client.get(f"{self.url}/v2/models/bench/ready").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
        tail = self.log.read_text(errors="replace")[-2000:]
        raise click.ClickException(f"'{self.peer.name}' did not become ready:\n{tail}")
