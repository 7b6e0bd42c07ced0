"""Connections that cannot hold up the server: uvicorn's, with deadlines and limits of their own.

No timer is set for a request: one sweep a second looks at every connection.
"""

import asyncio
import resource
import socket
import struct
from collections.abc import Iterable
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from shipway.components.lib.errors import ConfigurationError

MAX_URL = 8_192
MAX_HEAD = 32_768
MAX_PIPELINED = 256
OTHER_FILES = 200
SWEEP_SECONDS = 1.0
# After an early answer the rest of a request is read and forgotten for so long: when a connection
# is closed on unread bytes, its client loses the answer.
LINGER_SECONDS = 5.0
# For the first byte of a request once the server ends.
DRAIN_SECONDS = 2.0
HEAD, BODY, IDLE = range(3)
# A message of ours that holds status, headers and body; to a HEAD no body may be sent.
WHOLE = "shipway.response"
EXTENSIONS: dict[str, dict[object, object]] = {WHOLE: {}}
H2C = b"pgrade: h2c\r\n"


class Guard:
    """What all connections of a server share.

    Attributes:
        header_seconds: for the head of a request to come whole.
        transfer_seconds: for a request to come whole, and for an answer to be taken.
        max_connections: open at once.
        draining: whether every answer ends its connection.
    """

    def __init__(
        self, header_seconds: float, transfer_seconds: float, max_connections: int
    ) -> None:
        """Take the limits of the settings."""
        self.header_seconds = header_seconds
        self.transfer_seconds = transfer_seconds
        self.max_connections = max_connections
        self.draining = False
        self._swept = 0.0

    def start(self, connections: Iterable[Any]) -> None:
        """Sweep once a second, for as long as the running loop runs."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._swept < 3 * SWEEP_SECONDS:  # after a halt, what has come is read first
            for connection in list(connections):
                connection.check(now)
        self._swept = now
        loop.call_later(SWEEP_SECONDS, self.start, connections)

    def drain(self, connections: Iterable[Any]) -> None:
        """Let every connection end with its next answer."""
        self.draining = True
        for connection in connections:
            connection.drain()


def allow_files(max_connections: int) -> None:
    """Let the process have as many open files as its connections may need.

    Raises:
        ConfigurationError: the system allows fewer.
    """
    needed = 2 * max_connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigurationError(
            f"--max_connections {max_connections} needs {needed} open files, and the system allows "
            f"{hard}. Choose {(hard - OTHER_FILES) // 2} or fewer, or raise `ulimit -n`."
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class _TooLargeError(Exception):
    """A head that is refused; raised within the parser."""


def _without_offer(data: bytes) -> bytes:
    """A head without the offer of HTTP/2 that Java's client makes first.

    It is not taken up, and the parser would take the body for bytes of the other protocol.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return (head + b"\r\n").replace(H2C, b"-offer: h2c\r\n")[:-2] + end + rest


class Cycle(RequestResponseCycle):
    """Uvicorn's request and its answer; a whole answer goes out in one write."""

    async def send(self, message: Any) -> None:
        """Send a part of an answer, or a whole one: an extension that the scope tells of."""
        if message["type"] != WHOLE:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_started:
            raise RuntimeError("A whole answer came after the start of another.")
        parts = [STATUS_LINE[message["status"]]]
        for name, value in (*self.default_headers, *message["headers"]):
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        parts.append(message["body"])
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(b"".join(parts))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class Connection(HttpToolsProtocol):
    """One connection."""

    def __init__(self, guard: Guard, **arguments: Any) -> None:
        """Begin with the head of the first request."""
        super().__init__(**arguments)
        self._guard = guard
        self._stage = HEAD
        self._began = self.loop.time()
        self._read = 0  # bytes of this request
        self._unsent_since = 0.0
        self._running: Any = None
        self._abort_at = 0.0  # once no more requests are taken

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away where there are too many."""
        super().connection_made(transport)
        most = self._guard.max_connections
        if len(self.connections) > 2 * most:
            transport.abort()
        elif len(self.connections) > most:
            self._refuse(503, "The server has too many connections. Try again after a second.")

    def data_received(self, data: bytes) -> None:
        """Read bytes of a request."""
        self._unset_keepalive_if_required()
        if self._abort_at:
            return
        if self._stage == IDLE:  # empty lines before a request count too
            self._stage = HEAD
            self._began = self.loop.time()
        if H2C in data and self._stage == HEAD:
            data = _without_offer(data)
        self._read += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, _TooLargeError):
                status, text = error.__context__.args
                self._refuse(status, text)
            else:
                self._refuse(400, "The target of the request cannot be read.")
        except httptools.HttpParserError as error:
            self._refuse(400, f"The request is no HTTP: {error}.")
        else:
            if self._stage == HEAD and self._read > MAX_HEAD:
                self._refuse(*self._head_too_large())

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # An offer (of a WebSocket, say) that is not taken up: HTTP/1.1 goes on.
                data = data[upgrade.args[0] :]

    def on_message_begin(self) -> None:
        """Note when a request begins."""
        if self._stage != HEAD:
            self._stage = HEAD
            self._began = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is too large."""
        if self._read > MAX_URL:
            self._check_head()
        if self.pipeline and len(self.pipeline) >= MAX_PIPELINED:
            raise _TooLargeError(429, f"More than {MAX_PIPELINED} requests wait for an answer.")
        pending = self.cycle
        super().on_headers_complete()
        self.cycle.__class__ = Cycle  # uvicorn names its own in the midst of a long method
        if self.scope["method"] == "POST":
            self.scope["extensions"] = EXTENSIONS
        self._stage = BODY
        if self._guard.draining:
            if pending is not None and not pending.response_started:
                pending.keep_alive = True  # this request came behind it, and is answered too
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        self._stage = IDLE
        self._read = 0
        super().on_message_complete()

    def _check_head(self) -> None:
        if len(self.url) > MAX_URL:
            raise _TooLargeError(414, f"The URL is longer than {MAX_URL:,} bytes.")
        if sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD:
            raise _TooLargeError(*self._head_too_large())

    def _head_too_large(self) -> tuple[int, str]:
        if len(self.url or b"") > MAX_URL:
            return 414, f"The URL is longer than {MAX_URL:,} bytes."
        return 431, f"The headers of the request are larger than {MAX_HEAD:,} bytes."

    def eof_received(self) -> None:
        """Let the transport close the connection, as uvicorn does."""

    def shutdown(self) -> None:
        """End the connection, after the request that is under way or may be in the buffers."""
        if self._stage == IDLE and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
        else:
            self.drain()

    def drain(self) -> None:
        """Let the next answer end the connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def check(self, now: float) -> None:
        """End the connection when its client is too slow."""
        guard = self._guard
        if self.transport is None:
            return
        if not self.transport.get_write_buffer_size():
            self._unsent_since = 0.0
        elif not self._unsent_since:
            self._unsent_since = now
        elif now - self._unsent_since > guard.transfer_seconds:
            self._abort()  # it does not take its answer
            return
        waited = now - self._began
        if self._abort_at:
            if now > self._abort_at:
                self._abort()
        elif self._stage == HEAD and not self._read:
            if waited > (DRAIN_SECONDS if guard.draining else guard.header_seconds):
                self.transport.close()
        elif self._stage == HEAD and waited > guard.header_seconds:
            self._refuse(408, f"The headers did not come whole in {guard.header_seconds:g} s.")
        elif self._stage == BODY and waited > guard.transfer_seconds and not self.pipeline:
            self._refuse(408, f"The body did not come whole in {guard.transfer_seconds:g} s.")

    def _abort(self) -> None:
        """Drop the connection; what would still be written is left unwritten."""
        if self._running is not None:
            self._running.disconnected = True
        self.pipeline.clear()
        bound = self.transport.get_extra_info("socket")
        if bound is not None:  # else the kernel goes on for minutes to offer what is unsent
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Note which of the pipelined requests is worked on: uvicorn knows the last one alone."""
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, status: int, text: str) -> None:
        """Answer what is no request, and take nothing more on this connection."""
        self._abort_at = self.loop.time() + LINGER_SECONDS
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self._stage != BODY:  # the answer to an earlier request ends the connection
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started or self.pipeline:
                self._abort()
                return
        elif self._stage == BODY and cycle is not None:
            self.transport.close()  # it has its answer
            return
        content = orjson.dumps({"error": text})
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\n"
            + (b"retry-after: 1\r\n" if status == 503 else b"")
            + b"content-length: %d\r\n\r\n" % len(content)
            + content
        )
        if self.transport.can_write_eof():
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()
