"""KServe's `ModelServer`, on one address of our choice and behind our gateway."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
import uvloop
from kserve import ModelServer
from kserve.metrics import PREDICT_HIST_TIME, get_labels
from kserve.model_server import app as sdk_app
from kserve.protocol.rest.server import RESTServer

from shipway.components.predictor.engine import Engine
from shipway.components.predictor.gateway import Gateway
from shipway.components.predictor.model import ShipwayModel
from shipway.components.predictor.settings import Settings


class _Uvicorn(uvicorn.Server):
    """Uvicorn that says when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()


class _Rest(RESTServer):  # type: ignore[misc]  # the SDK is not typed
    """The SDK's REST server, on an open socket, without its log lines for each request."""

    def __init__(
        self,
        server: "Server",
        listener: socket.socket,
        gateway: Gateway,
        listening: Callable[[], None],
    ) -> None:
        super().__init__(
            "kserve.model_server:app",
            server.dataplane,
            server.model_repository_extension,
            listener.getsockname()[1],
            grace_period=server.grace_period,
        )
        self._listener = listener
        self.config.app = gateway
        self.config.access_log = False
        self.config.server_header = False
        self.config.ws = "none"
        self._server = _Uvicorn(self.config, listening)

    def _add_middlewares(self, app: object) -> None:
        """Leave out the SDK's timing middleware: it is 12 % of a request and two log lines."""

    async def start(self) -> None:
        self.create_application()
        await self._server.serve(sockets=[self._listener])


class Server(ModelServer):  # type: ignore[misc]
    """Serves one engine until a signal ends it."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing listens yet."""
        super().__init__(
            http_port=settings.http_port,
            grpc_port=settings.grpc_port,
            enable_grpc=settings.enable_grpc,
            enable_latency_logging=False,
            grace_period=settings.grace_seconds,
        )
        self._settings = settings

    def run(self, engine: Engine, listener: socket.socket, listening: Callable[[], None]) -> None:
        """Answer on a bound socket until SIGTERM or SIGINT; open requests are finished first.

        Args:
            engine: the model, proven.
            listener: the socket.
            listening: called once the first request can come.
        """
        self._register_and_check_atleast_one_model_is_ready([ShipwayModel(engine)])
        timer = PREDICT_HIST_TIME.labels(**get_labels(engine.name))
        gateway = Gateway(sdk_app, engine, self._settings.max_body_bytes, timer.time)
        self.servers.append(_Rest(self, listener, gateway, listening).start())
        if self.enable_grpc:
            self.servers.append(self._grpc().start(self.max_threads))
        self.register_signal_handler()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    def _grpc(self) -> Any:
        from kserve.model_server import GRPCServer, args

        self._grpc_server = GRPCServer(
            self.grpc_port,
            self.dataplane,
            self.model_repository_extension,
            kwargs=vars(args),
            grace_period=self.grace_period,
        )
        return self._grpc_server
