"""Several processes that answer on one socket, each with a model of its own.

The parent binds the socket, starts the workers and waits: no pings, so that none is taken for dead
while it loads. When one ends by itself, all end, and whatever started the server starts it again.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time

from shipway.components.lib.errors import EndpointError
from shipway.components.predictor.settings import Settings

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Workers:
    """The worker processes of one server."""

    def __init__(self, arguments: list[str], listener: socket.socket, settings: Settings) -> None:
        """Start them.

        Args:
            arguments: the command line of this process.
            listener: bound; the workers listen on it.
            settings: as read from the arguments.
        """
        self._ending = False
        self._patience = settings.drain_seconds + settings.grace_seconds + 5
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "shipway.components.predictor", *arguments]
        command += ["--workers", "1", "--http_fd", str(descriptor)]
        for name in SIGNALS:
            signal.signal(name, self._end)
        self._processes = [
            subprocess.Popen(command, pass_fds=[descriptor], start_new_session=True)
            for _ in range(settings.workers)
        ]
        logger.info("Started %d workers: %s.", settings.workers, self._ids())

    def wait(self) -> int:
        """Wait for the end: for a signal, or for the first worker that ends by itself.

        Returns:
            The exit status: 0, or that of a worker that refused the model.

        Raises:
            EndpointError: a worker died.
        """
        ended = None
        while ended is None and not self._ending:
            ended = next((each for each in self._processes if each.poll() is not None), None)
            time.sleep(POLL_SECONDS)
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + self._patience
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if ended is None:
            return 0
        if ended.returncode > 0:
            return ended.returncode  # it has said why
        raise EndpointError(
            f"Worker {ended.pid} was ended by signal {-ended.returncode}, and the others with it. "
            "Its memory may have run out: give more, or use fewer --workers."
        )

    def _end(self, sign: int, _: object) -> None:
        for name in SIGNALS:
            signal.signal(name, self._end_at_once)
        self._ending = True

    def _end_at_once(self, sign: int, _: object) -> None:
        self._tell(signal.SIGKILL)
        signal.signal(sign, signal.SIG_DFL)
        os.kill(os.getpid(), sign)

    def _tell(self, sign: int) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(sign)

    def _ids(self) -> str:
        return ", ".join(str(process.pid) for process in self._processes)
