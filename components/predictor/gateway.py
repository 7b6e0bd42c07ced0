"""The ASGI application in front of KServe's own: it answers the predictions itself.

KServe's REST stack stays behind it for health, metrics and lists of models. In front of it, bodies
are limited, content types are understood, every error has one shape, and the routes that load and
unload models are shut: in KServe they are open to anyone.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from typing import Protocol as Protocol_
from urllib.parse import quote

import orjson

from shipway.components import __version__
from shipway.components.lib.scoring import Prediction
from shipway.components.predictor.batching import Batcher
from shipway.components.predictor.bodies import (
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
from shipway.components.predictor.questions import Question
from shipway.components.predictor.refusals import Refusal
from shipway.components.predictor.v1 import V1, V1Explain
from shipway.components.predictor.v2 import V2

logger = logging.getLogger(__name__)

V1_MODEL = re.compile(
    r"/v1/models/(?P<name>[^/]+?)(?:/versions/(?P<version>[^/]+))?:(?P<verb>predict|explain)"
)
V2_MODEL = re.compile(
    r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/infer|/ready|)"
)
INLINE_BYTES = 16_384

App = Callable[[Scope, Receive, Send], Any]
Timed = Callable[[], AbstractContextManager[Any]]


class Protocol(Protocol_):
    """What reads the requests of a protocol and writes its answers."""

    def read(self, body: bytes) -> Question:
        """Read a body, or raise Refusal."""

    def answer(self, question: Question, prediction: Prediction) -> bytes:
        """Write the answer."""


class Gateway:
    """Answers predictions and metadata; hands the rest to the application behind it."""

    def __init__(self, app: App, engine: Engine, max_body_bytes: int, timed: Timed) -> None:
        """Stand in front of an application.

        Args:
            app: what answers everything else.
            engine: the model.
            max_body_bytes: the largest body that is read.
            timed: gives a context manager that measures one prediction.
        """
        self._app = app
        self._engine = engine
        self._timed = timed
        self._limit = max_body_bytes
        self._batcher = Batcher(engine.score)
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
        try:
            protocol = self._hot.get(scope["path"])
            if protocol is not None:
                await self._predict(protocol, scope, receive, send)
            else:
                await self._answer(scope, receive, with_headers(send, self._headers))
        except Refusal as refusal:
            await self._reply(send, refusal.status, orjson.dumps({"error": refusal.message}))
        except ConnectionError:
            logger.debug("The client went away before its request was whole.")
        except Exception:  # the last line: a caller never sees a dropped connection or a trace
            logger.exception("%s %s failed", scope["method"], scope["path"])
            await self._reply(send, 500, b'{"error":"The server failed; its log says why."}')

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"].rstrip("/")
        if path.startswith("/v2/repository"):
            raise Refusal("This server serves one model; deploy a version to change it.", 404)
        if match := V1_MODEL.fullmatch(path):
            self._check_model(match["name"], match["version"])
            protocol = self._v1_explain if match["verb"] == "explain" else self._v1
            await self._predict(protocol, scope, receive, send)
            return
        if path == "/v2" and scope["method"] == "GET":
            about = {"name": "shipway", "version": __version__, "extensions": []}
            await reply(send, 200, orjson.dumps(about))
            return
        match = V2_MODEL.fullmatch(path)
        if match is None:
            await self._app(scope, receive, one_error_shape(send))
            return
        self._check_model(match["name"], match["version"])
        if match["rest"] == "/infer":
            await self._predict(self._v2, scope, receive, send)
        elif match["rest"] == "" and scope["method"] == "GET":
            await reply(send, 200, orjson.dumps(self._engine.metadata()))
        else:
            bare = f"/v2/models/{match['name']}{match['rest']}"
            scope = {**scope, "path": bare, "raw_path": quote(bare).encode()}
            await self._app(scope, receive, one_error_shape(send))

    def _check_model(self, name: str, version: str | None = None) -> None:
        if name != self._engine.name:
            raise Refusal(
                f"There is no model '{name[:60]}' here; this server has '{self._engine.name}'.", 404
            )
        if version is not None and version != self._engine.version:
            raise Refusal(
                f"Model '{name}' has no version '{version[:60]}' here; this server has "
                f"'{self._engine.version}'.",
                404,
            )

    async def _predict(
        self, protocol: Protocol, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["method"] != "POST":
            raise Refusal(f"A prediction is a POST; {scope['method']} came.", 405)
        check_headers(scope["headers"])
        body = await read_body(scope, receive, self._limit)
        with self._timed():
            if len(body) <= INLINE_BYTES:
                question = protocol.read(body)
                prediction = await self._batcher.submit(question.batch.features)
                if question.options.explain:  # milliseconds a row
                    loop = asyncio.get_running_loop()
                    content = await loop.run_in_executor(
                        None, protocol.answer, question, prediction
                    )
                else:
                    content = protocol.answer(question, prediction)
            else:  # longer work would hold up health checks and the other requests
                loop = asyncio.get_running_loop()
                content = await loop.run_in_executor(None, self._work, protocol, body)
        await self._reply(send, 200, content)

    def _work(self, protocol: Protocol, body: bytes) -> bytes:
        question = protocol.read(body)
        return protocol.answer(question, self._engine.score(question.batch.features))

    async def _reply(self, send: Send, status: int, content: bytes) -> None:
        headers = [*self._json_headers, (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
