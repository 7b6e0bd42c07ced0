"""The ASGI application in front of KServe's own: it answers the predictions itself.

KServe's REST stack stays behind it for health, metrics and lists of models. In front of it, bodies
are limited, content types are understood, every error has one shape, and the routes that load and
unload models are shut: in KServe they are open to anyone.
"""

import logging
import re
from collections.abc import Callable, Collection
from time import perf_counter
from typing import Any
from typing import Protocol as Protocol_
from urllib.parse import quote

import orjson

from shipway.components import __version__
from shipway.components.lib.scoring import Prediction
from shipway.components.predictor.batching import Batcher
from shipway.components.predictor.binary import EXTENSION, BinaryBody
from shipway.components.predictor.bodies import (
    BINARY_TYPE,
    Headers,
    Receive,
    Scope,
    Send,
    check_headers,
    one_error_shape,
    read_body,
    reply,
    with_headers,
)
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.health import Health
from shipway.components.predictor.limits import Limits
from shipway.components.predictor.observing import Exchange, Observer
from shipway.components.predictor.questions import Question
from shipway.components.predictor.refusals import Refusal
from shipway.components.predictor.v1 import V1, V1Explain
from shipway.components.predictor.v2 import V2

logger = logging.getLogger(__name__)

V1_MODEL = re.compile(
    r"/v1/models/(?P<name>[^/]+?)(?:/versions/(?P<version>[^/]+?))?(?::(?P<verb>predict|explain))?"
)
V2_MODEL = re.compile(
    r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/infer|/ready|)"
)
INLINE_BYTES = 16_384

App = Callable[[Scope, Receive, Send], Any]
KINDS = {V1: "v1_predict", V2: "v2_infer", V1Explain: "explain"}


class Protocol(Protocol_):
    """What reads the requests of a protocol and writes its answers."""

    def read(self, body: bytes, json_length: int | None = None) -> Question:
        """Read a body, or raise Refusal; after so many bytes of JSON come those of tensors."""

    def answer(self, question: Question, prediction: Prediction) -> bytes:
        """Write the answer."""


class Gateway:
    """Answers predictions and metadata; hands the rest to the application behind it.

    Attributes:
        tasks: the requests that the server works on; a lone one is not held for others.
    """

    def __init__(
        self,
        app: App,
        engine: Engine,
        max_body_bytes: int,
        observer: Observer,
        limits: Limits,
        health: Health,
    ) -> None:
        """Stand in front of an application.

        Args:
            app: what answers everything else.
            engine: the model.
            max_body_bytes: the largest body that is read.
            observer: sees every request.
            limits: of what is answered at once.
            health: answers the health routes.
        """
        self._app = app
        self._engine = engine
        self._observer = observer
        self._limit = max_body_bytes
        self._limits, self._health = limits, health
        self._batcher = Batcher(engine.score)
        self.tasks: Collection[object] = ()
        self._v1, self._v2 = V1(engine), V2(engine)
        self._v1_explain = V1Explain(engine)
        # The paths as callers write them; others, escaped ones among them, are taken apart.
        self._hot: dict[str, Protocol] = {
            f"/v1/models/{engine.name}:predict": self._v1,
            f"/v2/models/{engine.name}/infer": self._v2,
        }
        self._headers: Headers = [
            (b"x-shipway-model-digest", engine.digest.encode()),
            (b"x-shipway-model-version", quote(engine.version).encode()),
        ]
        self._json_headers: Headers = [(b"content-type", b"application/json"), *self._headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = self._observer.begin(scope, send)
        scope["exchange"], send = exchange, exchange.send
        try:
            protocol = self._hot.get(scope["path"])
            if protocol is not None:
                await self._predict(protocol, scope, receive, send)
            else:
                await self._answer(scope, receive, with_headers(send, self._headers))
        except Refusal as refusal:
            exchange.cause = refusal.cause
            await self._reply(exchange, refusal.status, orjson.dumps({"error": refusal.message}))
        except ConnectionError:
            exchange.cause = "disconnected"
            logger.debug("The client went away before its request was whole.")
        except Exception:  # the last line: a caller never sees a dropped connection or a trace
            exchange.cause = "internal"
            logger.exception("%s %s failed", scope["method"], scope["path"])
            await self._reply(exchange, 500, b'{"error":"The server failed; its log says why."}')
        finally:
            self._observer.end(exchange)
            del scope["exchange"]  # else the two hold each other, and the bodies, for long

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"].rstrip("/")
        if scope["method"] in ("GET", "HEAD") and (told := self._health.answer(path)):
            await reply(send, 200, told)
            return
        if path.startswith("/v2/repository"):
            raise Refusal("This server serves one model; deploy a version to change it.", 404)
        if match := V1_MODEL.fullmatch(path):
            self._engine.check_asked(match["name"], match["version"])
            if match["verb"] is None:
                await self._app(scope, receive, one_error_shape(send))
                return
            protocol = self._v1_explain if match["verb"] == "explain" else self._v1
            await self._predict(protocol, scope, receive, send)
            return
        if path == "/v2" and scope["method"] == "GET":
            about = {"name": "shipway", "version": __version__, "extensions": [EXTENSION]}
            await reply(send, 200, orjson.dumps(about))
            return
        match = V2_MODEL.fullmatch(path)
        if match is None:
            await self._app(scope, receive, one_error_shape(send))
            return
        self._engine.check_asked(match["name"], match["version"])
        if match["rest"] == "/infer":
            await self._predict(self._v2, scope, receive, send)
        elif match["rest"] == "" and scope["method"] == "GET":
            await reply(send, 200, orjson.dumps(self._engine.metadata()))
        else:
            bare = f"/v2/models/{match['name']}{match['rest']}"
            scope = {**scope, "path": bare, "raw_path": quote(bare).encode()}
            await self._app(scope, receive, one_error_shape(send))

    async def _predict(
        self, protocol: Protocol, scope: Scope, receive: Receive, send: Send
    ) -> None:
        exchange: Exchange = scope["exchange"]
        exchange.kind = KINDS[type(protocol)]
        if scope["method"] != "POST":
            raise Refusal(f"A prediction is a POST; {scope['method']} came.", 405)
        json_length = check_headers(scope["headers"])
        if json_length is not None and protocol is not self._v2:
            raise Refusal("V1 takes JSON alone; tensors as bytes go by V2.", 415)
        body = await read_body(scope, receive, self._limit, self._limits)
        exchange.body, exchange.received = body, perf_counter()
        self._limits.enter()
        try:
            if len(body) <= INLINE_BYTES:
                exchange.question = question = protocol.read(body, json_length)
                exchange.read = perf_counter()
                if len(self.tasks) > 1:
                    prediction = await self._batcher.submit(question.batch.features)
                else:  # nobody else is there to share a call with
                    prediction = self._engine.score(question.batch.features)
                exchange.scored = perf_counter()
                if question.options.explain:  # milliseconds a row
                    content = await self._limits.run(
                        protocol.answer, question, prediction, size=len(body)
                    )
                else:
                    content = protocol.answer(question, prediction)
                exchange.answered = perf_counter()
            else:  # longer work would hold up health checks and the other requests
                content = await self._limits.run(
                    self._work, protocol, exchange, json_length, size=len(body)
                )
        finally:
            self._limits.leave()
        await self._reply(exchange, 200, content)

    def _work(self, protocol: Protocol, exchange: Exchange, json_length: int | None) -> bytes:
        exchange.question = question = protocol.read(exchange.body, json_length)
        exchange.read = perf_counter()
        prediction = self._engine.score(question.batch.features)
        exchange.scored = perf_counter()
        content = protocol.answer(question, prediction)
        exchange.answered = perf_counter()
        return content

    async def _reply(self, exchange: Exchange, status: int, content: bytes) -> None:
        headers = [*self._json_headers, (b"content-length", b"%d" % len(content))]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        if type(content) is BinaryBody:
            headers[0] = (b"content-type", BINARY_TYPE)
            headers.append((b"inference-header-content-length", b"%d" % content.json_length))
        await exchange.reply(status, headers, content)
