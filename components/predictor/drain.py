"""The end of a server: what was asked is answered, and nothing new is asked."""

import asyncio
import logging
import signal
from collections.abc import Callable

import uvicorn

from shipway.components.lib.handover import Offer
from shipway.components.predictor.connection import DRAIN_SECONDS, Guard
from shipway.components.predictor.health import Health

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Drain:
    """Ends a server at the first signal; a second one ends the process at once."""

    def __init__(
        self,
        server: uvicorn.Server,
        guard: Guard,
        health: Health,
        seconds: int,
        offer: Offer | None,
        http_fd: int,
    ) -> None:
        """Take what is told that the end has begun.

        Args:
            server: stops to accept in the end, and finishes what is open.
            guard: of its connections.
            health: of the model.
            seconds: to keep answering without being ready.
            offer: of the listening socket to the next server.
            http_fd: the inherited listening socket; below 0 for one of its own.
        """
        self._server, self._guard, self._health = server, guard, health
        self._seconds, self._offer, self._inherited = seconds, offer, http_fd >= 0
        self._ending: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Wait for a signal, and for one who takes the socket; called on the event loop."""
        loop = asyncio.get_running_loop()
        for name in SIGNALS:
            loop.add_signal_handler(name, self._begin)
        if self._offer:
            loop.add_reader(self._offer.fileno(), self._offer.give)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        for name in SIGNALS:
            loop.remove_signal_handler(name)
            signal.signal(name, signal.SIG_DFL)
        logger.info("Ending: what was asked is answered.")
        self._health.draining = True
        self._guard.drain(self._server.server_state.connections)
        self._ending = loop.create_task(self._run())

    async def _run(self) -> None:
        taken = self._offer is not None and self._offer.taken
        if self._offer:
            asyncio.get_running_loop().remove_reader(self._offer.fileno())
            self._offer.close()
        if not taken:
            await asyncio.sleep(self._seconds)
        if taken or self._inherited:  # another server accepts from the same queue
            for listening in self._server.servers:
                listening.close()
            await _until(lambda: not self._server.server_state.connections, DRAIN_SECONDS)
        self._server.should_exit = True


async def _until(done: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so, or not longer."""
    deadline = asyncio.get_running_loop().time() + seconds
    await asyncio.sleep(0.1)  # what was accepted last becomes a connection
    while not done() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)
