"""One request as those see it who count, log, trace and keep it."""

import itertools
import os
from collections.abc import Awaitable, Sequence
from random import random
from time import perf_counter
from typing import TYPE_CHECKING

from shipway.components.predictor.bodies import Headers, Message, Scope, Send
from shipway.components.predictor.connection import WHOLE
from shipway.components.predictor.metrics import Metrics, value_bounds
from shipway.components.predictor.questions import Question
from shipway.components.predictor.request_log import RequestLog

if TYPE_CHECKING:
    from shipway.components.predictor.engine import Engine
    from shipway.components.predictor.payload_log import PayloadLog
    from shipway.components.predictor.settings import Settings
    from shipway.components.predictor.tracing import Tracer

OTHER = "other"
GONE = 499  # nobody was there to be answered
MAX_ID = 128


class Exchange:
    """A request and its answer; times are those of `perf_counter`, 0.0 before it came to that.

    Attributes:
        scope: the request.
        request_id: the caller's, or one that was made for it.
        kind: "v1_predict", "v2_infer", "explain", "grpc" or "other".
        status: of the answer.
        cause: one word for why it was refused or failed; "" when it was answered.
        question: what was read.
        body: what came.
        answer: what was sent: the last part of it.
        headers: those of the answer.
        sent: the bytes of the answer.
        began: when its head was there.
        received: when its body was there.
        read: when it was read and checked.
        scored: when the model had answered.
        answered: when the answer was written.
        trace_id: of its span; "" when it is not traced.
    """

    # Most stand in the class until they are known: a request sets few of them.
    kind = OTHER
    status = GONE
    cause = trace_id = ""
    question: Question | None = None
    body = answer = b""
    headers: Headers | tuple[()] = ()
    sent = 0
    received = read = scored = answered = 0.0

    def __init__(self, scope: Scope, send: Send, request_id: bytes) -> None:
        """Begin."""
        self.scope = scope
        self._send = send
        self.request_id = request_id
        self.began = perf_counter()

    async def reply(self, status: int, headers: Headers, content: bytes) -> None:
        """Send a whole answer, in one write where the server can."""
        headers.append((b"x-request-id", self.request_id))
        self.status, self.headers = status, headers
        self.answer, self.sent = content, len(content)
        if WHOLE in self.scope.get("extensions", ()):
            message = {"type": WHOLE, "status": status, "headers": headers, "body": content}
            await self._send(message)
            return
        start = {"type": "http.response.start", "status": status, "headers": headers}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": content})

    def send(self, message: Message) -> Awaitable[None]:
        """Send a part of the answer; the first carries the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [*message.get("headers", ()), (b"x-request-id", self.request_id)]
            message["headers"] = self.headers
        else:
            self.answer = message.get("body", b"")
            self.sent += len(self.answer)
        return self._send(message)


class Observer:
    """Sees every request twice: when it begins, and when it is over."""

    def __init__(
        self,
        metrics: Metrics,
        log: RequestLog,
        tracer: "Tracer | None" = None,
        payloads: "PayloadLog | None" = None,
    ) -> None:
        """Take those who want to know; the last two may be absent."""
        self.metrics = metrics
        self._log = log
        self._share = log.share
        self._tracer = tracer
        self._payloads = payloads
        self._prefix = os.urandom(8).hex().encode()
        self._next = itertools.count(1).__next__

    def begin(self, scope: Scope, send: Send) -> Exchange:
        """A request has come."""
        self.metrics.in_flight += 1
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _is_plain(value):
                return Exchange(scope, send, value)
        return Exchange(scope, send, b"%s-%x" % (self._prefix, self._next()))

    def end(self, exchange: Exchange) -> None:
        """It is over."""
        ended = perf_counter()
        self.metrics.finished(exchange, ended)
        if self._tracer is not None:
            self._tracer.record(exchange, ended)
        if exchange.status >= 500 or random() < self._share:
            self._log.write(exchange, ended)
        if self._payloads is not None and exchange.kind != OTHER:
            self._payloads.offer(exchange, ended)

    def close(self) -> None:
        """Write and send what is still held, once the server has stopped."""
        if self._payloads is not None:
            self._payloads.close()
        if self._tracer is not None:
            self._tracer.close()


def open_observer(engine: "Engine", settings: "Settings", source: str) -> Observer:
    """Begin to count, log, trace and keep what is asked of a model, as the settings say.

    Args:
        engine: the model.
        settings: the flags.
        source: the URL of this server.
    """
    from shipway.components.predictor.exposition import expose
    from shipway.components.predictor.tracing import open_tracer

    metrics = Metrics(engine, value_bounds(settings.model_dir))
    engine.observe = metrics.scored
    payloads = None
    if settings.payload_log is not None:
        from shipway.components.predictor.payload_files import Place
        from shipway.components.predictor.payload_log import PayloadLog

        place = Place(
            settings.payload_log,
            settings.payload_share,
            settings.payload_file_mib << 20,
            settings.payload_file_seconds,
        )
        about = {"shipway.dev/version": engine.version, "shipway.dev/digest": engine.digest}
        payloads = PayloadLog(place, engine.name, source, about)
    expose(metrics, payloads)
    log = RequestLog(settings.log_requests, settings.log_format)
    return Observer(metrics, log, open_tracer(engine), payloads)


def _is_plain(value: bytes) -> bool:
    """Whether a caller's id may go into headers and logs."""
    return 0 < len(value) <= MAX_ID and value.isascii() and value.decode("ascii").isprintable()


def header_of(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    """A header as text, or ""."""
    return next((value.decode("latin-1") for key, value in headers if key == name), "")
