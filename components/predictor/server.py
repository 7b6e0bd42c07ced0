"""KServe's `ModelServer`, on one address of our choice and behind our gateway."""

import asyncio
import socket
from typing import Any

import uvloop
from kserve import ModelServer
from kserve.model_server import app as sdk_app
from kserve.protocol.rest.server import RESTServer

from shipway.components.predictor.engine import Engine
from shipway.components.predictor.gateway import Gateway
from shipway.components.predictor.model import ShipwayModel
from shipway.components.predictor.settings import Settings


class _Rest(RESTServer):  # type: ignore[misc]  # the SDK is not typed
    """The SDK's REST server, on an open socket, without its log lines for each request."""

    def __init__(self, server: "Server", listener: socket.socket, gateway: Gateway) -> None:
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

    def run(self, engine: Engine, listener: socket.socket) -> None:
        """Answer on an open socket until SIGTERM or SIGINT; open requests are finished first."""
        self._register_and_check_atleast_one_model_is_ready([ShipwayModel(engine)])
        gateway = Gateway(sdk_app, engine, self._settings.max_body_bytes)
        self.servers.append(_Rest(self, listener, gateway).start())
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
