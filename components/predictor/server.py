"""KServe's `ModelServer`, on one address of our choice and behind our gateway."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
import uvloop
from kserve import ModelServer
from kserve.model_server import app as sdk_app
from kserve.protocol.rest.server import RESTServer

from shipway.components.lib.handover import Offer
from shipway.components.predictor.connection import Connection, Guard, allow_files
from shipway.components.predictor.documents import Documents
from shipway.components.predictor.drain import Drain
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.gateway import Gateway
from shipway.components.predictor.grpc_server import GrpcServer
from shipway.components.predictor.health import Health
from shipway.components.predictor.limits import Limits
from shipway.components.predictor.model import ShipwayModel
from shipway.components.predictor.observing import open_observer
from shipway.components.predictor.settings import Settings


class _Uvicorn(uvicorn.Server):
    """Uvicorn that says when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening
        self.beside: GrpcServer | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is open, by gRPC at the same time."""
        ending = [super().shutdown(sockets)]
        if self.beside is not None:
            ending.append(self.beside.stop())
        await asyncio.gather(*ending)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the drain."""
        yield


class _Rest(RESTServer):  # type: ignore[misc]  # the SDK is not typed
    """The SDK's REST server, on an open socket, without its log lines for each request."""

    def __init__(
        self,
        server: "Server",
        listener: socket.socket,
        gateway: Gateway,
        guard: Guard,
        listening: Callable[[], None],
    ) -> None:
        settings = server.settings_
        super().__init__(
            "kserve.model_server:app",
            server.dataplane,
            server.model_repository_extension,
            listener.getsockname()[1],
            grace_period=server.grace_period,
            timeout_keep_alive=settings.keep_alive_seconds,
            ssl_certfile=settings.ssl_certfile,
            ssl_keyfile=settings.ssl_keyfile,
        )
        self._listener = listener
        self.config.http = functools.partial(Connection, guard)
        self.config.ssl_ca_certs = settings.ssl_ca_certs
        self.config.ssl_cert_reqs = ssl.CERT_REQUIRED if settings.ssl_ca_certs else ssl.CERT_NONE
        self.config.app = gateway
        self.config.proxy_headers = False  # a layer that nothing here reads
        self.config.access_log = False
        self.config.server_header = False
        self.config.ws = "none"
        self._server = self.uvicorn_ = _Uvicorn(self.config, listening)
        gateway.tasks = self._server.server_state.tasks

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
            enable_grpc=False,  # ours is beside it
            enable_latency_logging=False,
            grace_period=settings.grace_seconds,
        )
        self.settings_ = settings

    def run(self, engine: Engine, listener: socket.socket, listening: Callable[[], None]) -> bool:
        """Answer on a bound socket until SIGTERM or SIGINT; open requests are finished first.

        Args:
            engine: the model, proven.
            listener: the socket.
            listening: called once the first request can come.

        Returns:
            Whether a thread still works on what nobody waits for any more.
        """
        settings = self.settings_
        allow_files(settings.max_connections)
        self._register_and_check_atleast_one_model_is_ready([ShipwayModel(engine)])
        host, port = listener.getsockname()[:2]
        observer = open_observer(engine, settings, f"http://{host}:{port}/")
        health = Health(engine.name, engine.version)
        limits = Limits(settings.max_concurrent, settings.max_body_bytes, settings.timeout_seconds)
        guard = Guard(settings.header_seconds, settings.transfer_seconds, settings.max_connections)
        app = Documents(sdk_app, engine, settings.page)
        gateway = Gateway(app, engine, settings.max_body_bytes, observer, limits, health)
        offer = Offer(settings.handover, listener) if settings.handover else None

        def started() -> None:
            guard.start(rest.uvicorn_.server_state.connections)
            drain.listen()
            listening()

        rest = _Rest(self, listener, gateway, guard, started)
        drain = Drain(rest.uvicorn_, guard, health, settings.drain_seconds, offer, settings.http_fd)
        grpc = None
        if settings.enable_grpc:
            grpc = GrpcServer(engine, settings, health, limits, observer)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_answer(rest, grpc))
        limits.close()
        observer.close()
        return limits.running > 0


async def _answer(rest: _Rest, grpc: GrpcServer | None) -> None:
    """Serve REST until the drain ends it, and gRPC as long."""
    if grpc is not None:
        await grpc.start()
        rest.uvicorn_.beside = grpc
    await rest.start()
