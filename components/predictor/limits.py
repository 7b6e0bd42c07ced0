"""What the server takes on at once: requests, bytes of bodies, and threads for long work."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from shipway.components.predictor.refusals import Refusal

logger = logging.getLogger(__name__)

# Long work is parsing, which holds the interpreter, and scoring, which has threads of its own;
# each of these threads may hold a body of the largest size, taken apart.
WORK_THREADS = 2
# Bodies that are held at once, in largest bodies.
HELD_BODIES = 4


class Limits:
    """Counts what is in flight; for one event loop, on which all of its methods are called.

    Attributes:
        in_flight: requests whose body is whole and whose answer is not.
        held: bytes of bodies that are being received or worked on in a thread.
        shed: requests that were turned away, since the start.
    """

    def __init__(self, max_concurrent: int, max_body_bytes: int, timeout_seconds: float) -> None:
        """Take the limits of the settings."""
        self.in_flight = self.held = self.shed = 0
        self._jobs: dict[Future[bytes], int] = {}
        self._given_up: set[Future[bytes]] = set()
        self._max_concurrent = max_concurrent
        self._max_held = HELD_BODIES * max_body_bytes
        self._seconds = timeout_seconds
        self._pool = ThreadPoolExecutor(WORK_THREADS, thread_name_prefix="work")

    def enter(self) -> None:
        """Count a request in, or refuse it with 503; whoever enters leaves."""
        if self.in_flight >= self._max_concurrent:
            raise self._busy(f"{self.in_flight:,} requests are being answered")
        self.in_flight += 1

    def leave(self) -> None:
        """Count a request out."""
        self.in_flight -= 1

    def hold(self, size: int) -> None:
        """Count bytes of a body in, or refuse it with 503; whoever holds releases."""
        if self.held + size > self._max_held:
            raise self._busy(f"{self.held >> 20:,} MiB of other bodies are being read")
        self.held += size

    def release(self, size: int) -> None:
        """Count bytes of a body out."""
        self.held -= size

    async def run(self, work: Callable[..., bytes], *arguments: Any, size: int) -> bytes:
        """Do long work in a thread.

        Args:
            work: what to do.
            arguments: what it takes.
            size: bytes of the body that it holds.

        Raises:
            Refusal: it took too long (504), or every thread is held up by such work (503).
        """
        if self.abandoned >= WORK_THREADS:
            raise self._busy("earlier requests that took too long still hold every thread")
        self.hold(size)
        loop = asyncio.get_running_loop()
        job = self._pool.submit(work, *arguments)
        self._jobs[job] = size
        job.add_done_callback(lambda done: loop.call_soon_threadsafe(self._end, done))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job), self._seconds)
        except TimeoutError:
            if job.running():
                self._given_up.add(job)
            logger.warning("A request was given up after %g s of work.", self._seconds)
            raise Refusal(
                f"The answer took longer than {self._seconds:g} s, the most that this server "
                "works on one request. Send the rows in parts.",
                504,
            ) from None

    def _end(self, job: "Future[bytes]") -> None:
        self.held -= self._jobs.pop(job)
        self._given_up.discard(job)

    @property
    def running(self) -> int:
        """Jobs that wait for a thread or have one."""
        return len(self._jobs)

    @property
    def abandoned(self) -> int:
        """Jobs whose time is over and that still have a thread: none can be stopped."""
        return len(self._given_up)

    def close(self) -> None:
        """Begin no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _busy(self, reason: str) -> Refusal:
        self.shed += 1
        return Refusal(f"The server is busy: {reason}. Try again after a second.", 503)
