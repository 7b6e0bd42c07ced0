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
from urllib.parse import quote

import orjson

from shipway.components import __version__
from shipway.components.predictor.bodies import (
    Headers,
    Receive,
    Scope,
    Send,
    check_content_type,
    one_error_shape,
    read_body,
    reply,
    with_headers,
)
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.refusals import Refusal

logger = logging.getLogger(__name__)

V1_PREDICT = re.compile(r"/v1/models/(?P<name>[^/]+):(?P<verb>predict|explain)")
V2_MODEL = re.compile(
    r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/infer|/ready|)"
)
INLINE_BYTES = 16_384

App = Callable[[Scope, Receive, Send], Any]
Timed = Callable[[], AbstractContextManager[Any]]


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
        self._headers: Headers = [
            (b"x-shipway-model-digest", engine.digest.encode()),
            (b"x-shipway-model-version", quote(engine.version).encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = with_headers(send, self._headers)
        try:
            await self._answer(scope, receive, send)
        except Refusal as refusal:
            await reply(send, refusal.status, orjson.dumps({"error": refusal.message}))
        except ConnectionError:
            logger.debug("The client went away before its request was whole.")
        except Exception:  # the last line: a caller never sees a dropped connection or a trace
            logger.exception("%s %s failed", scope["method"], scope["path"])
            await reply(send, 500, b'{"error":"The server failed; its log says why."}')

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"].rstrip("/")
        if path.startswith("/v2/repository"):
            raise Refusal("This server serves one model; deploy a version to change it.", 404)
        if match := V1_PREDICT.fullmatch(path):
            self._check_model(match["name"])
            if match["verb"] == "explain":
                raise Refusal("This server does not explain predictions; use ':predict'.", 501)
            await self._predict(self._engine.answer_v1, scope, receive, send)
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
            await self._predict(self._engine.answer_v2, scope, receive, send)
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
        self, answer: Callable[[bytes], bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["method"] != "POST":
            raise Refusal(f"A prediction is a POST; {scope['method']} came.", 405)
        check_content_type(scope)
        body = await read_body(scope, receive, self._limit)
        with self._timed():
            if len(body) <= INLINE_BYTES:
                content = answer(body)
            else:  # longer work would hold up health checks and the other requests
                content = await asyncio.get_running_loop().run_in_executor(None, answer, body)
        await reply(send, 200, content)
