"""KServe's V2 protocol over gRPC, in the event loop of the REST server."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import grpc  # type: ignore[import-untyped]
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from shipway.components import __version__
from shipway.components.lib.errors import EndpointError
from shipway.components.predictor.binary import EXTENSION
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.grpc_inference import SERVICE, Inference, nowhere, scope_of
from shipway.components.predictor.health import Health
from shipway.components.predictor.limits import Limits
from shipway.components.predictor.observing import Observer
from shipway.components.predictor.refusals import Refusal
from shipway.components.predictor.settings import Settings
from shipway.components.predictor.tls import grpc_credentials

logger = logging.getLogger(__name__)

FAILED = "The server failed; its log says why."
CODES = {
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Context = Any  # grpc.aio.ServicerContext, which takes no type arguments when it runs
Method = Callable[[Any, Context], Awaitable[Any]]


class GrpcServer:
    """Answers the inference service for one engine."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        health: Health,
        limits: Limits,
        observer: Observer,
    ) -> None:
        """Prepare; nothing listens yet.

        Args:
            engine: the model.
            settings: host, port, certificates and the largest message.
            health: whether the server is ready.
            limits: of what is answered at once, REST included.
            observer: sees every prediction.
        """
        self._engine, self._health = engine, health
        self._observer = observer
        self._grace = settings.grace_seconds
        self._inference = Inference(engine, limits)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._address = f"{host}:{settings.grpc_port}"
        self._options = [
            ("grpc.max_receive_message_length", settings.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            # Else a second server would start on a busy port, and take half of the calls.
            ("grpc.so_reuseport", int(settings.handover is not None)),
        ]
        self._metadata = (
            ("x-shipway-model-digest", engine.digest),
            ("x-shipway-model-version", quote(engine.version)),
        )
        self._credentials = grpc_credentials(settings)
        self._server: Any = None

    async def start(self) -> None:
        """Listen.

        Raises:
            EndpointError: the address cannot be had.
        """
        self._server = grpc.aio.server(options=self._options)
        handlers = grpc.method_handlers_generic_handler(SERVICE, self._handlers())
        self._server.add_generic_rpc_handlers((handlers,))
        try:
            if self._credentials is None:
                port = self._server.add_insecure_port(self._address)
            else:
                port = self._server.add_secure_port(self._address, self._credentials)
        except RuntimeError as error:
            raise EndpointError(
                f"Cannot listen on {self._address} for gRPC: it is taken, may not be used, or is "
                "not of this machine. Choose another --grpc_port or --host."
            ) from error
        await self._server.start()
        host = self._address.rpartition(":")[0]
        logger.info("Model '%s' answers V2 gRPC on %s:%d.", self._engine.name, host, port)

    async def stop(self) -> None:
        """Take nothing new, and finish what is open within the grace."""
        await self._server.stop(self._grace)

    def _handlers(self) -> dict[str, Any]:
        """The methods; those of a prediction take and give bytes, so that long ones can wait."""
        methods: dict[str, tuple[Method, Any, Any]] = {
            "ServerLive": (self._live, pb.ServerLiveRequest, pb.ServerLiveResponse),
            "ServerReady": (self._ready, pb.ServerReadyRequest, pb.ServerReadyResponse),
            "ServerMetadata": (self._about, pb.ServerMetadataRequest, pb.ServerMetadataResponse),
            "ModelReady": (self._model_ready, pb.ModelReadyRequest, pb.ModelReadyResponse),
            "ModelMetadata": (self._model, pb.ModelMetadataRequest, pb.ModelMetadataResponse),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._guarded(method), request.FromString, response.SerializeToString
            )
            for name, (method, request, response) in methods.items()
        }
        for name in ("RepositoryModelLoad", "RepositoryModelUnload"):
            handlers[name] = grpc.unary_unary_rpc_method_handler(self._guarded(self._repository))
        handlers["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)
        return handlers

    def _guarded(self, method: Method) -> Method:
        """A method whose refusals become a status with the words of REST."""

        async def call(request: Any, context: Context) -> Any:
            context.set_trailing_metadata(self._metadata)
            try:
                return await method(request, context)
            except Refusal as refusal:
                code = CODES.get(refusal.status, grpc.StatusCode.INVALID_ARGUMENT)
                message = refusal.message
            except Exception:
                logger.exception("A gRPC call failed")
                code, message = grpc.StatusCode.INTERNAL, FAILED
            await context.abort(code, message)

        return call

    async def _infer(self, data: bytes, context: Context) -> bytes:
        exchange = self._observer.begin(scope_of(context.invocation_metadata()), nowhere)
        exchange.kind, exchange.body, exchange.received = "grpc", data, exchange.began
        request_id = ("x-request-id", exchange.request_id.decode("ascii"))
        context.set_trailing_metadata((*self._metadata, request_id))
        try:
            exchange.answer = await self._inference.answer(exchange)
            exchange.status, exchange.sent = 200, len(exchange.answer)
            return exchange.answer
        except Refusal as refusal:
            exchange.status, exchange.cause = refusal.status, refusal.cause
            code = CODES.get(refusal.status, grpc.StatusCode.INVALID_ARGUMENT)
            message = refusal.message
        except Exception:
            logger.exception("A gRPC prediction failed")
            exchange.status, exchange.cause = 500, "internal"
            code, message = grpc.StatusCode.INTERNAL, FAILED
        finally:
            self._observer.end(exchange)
        await context.abort(code, message)
        raise AssertionError("abort raises")

    async def _live(self, request: Any, context: Context) -> Any:
        return pb.ServerLiveResponse(live=True)

    async def _ready(self, request: Any, context: Context) -> Any:
        return pb.ServerReadyResponse(ready=not self._health.draining)

    async def _about(self, request: Any, context: Context) -> Any:
        return pb.ServerMetadataResponse(
            name="shipway", version=__version__, extensions=[EXTENSION]
        )

    async def _model_ready(self, request: Any, context: Context) -> Any:
        self._engine.check_asked(request.name, request.version)
        return pb.ModelReadyResponse(ready=not self._health.draining)

    async def _model(self, request: Any, context: Context) -> Any:
        self._engine.check_asked(request.name, request.version)
        about = self._engine.metadata()
        tensors = {
            side: [
                pb.ModelMetadataResponse.TensorMetadata(
                    name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"]
                )
                for tensor in about[side]
            ]
            for side in ("inputs", "outputs")
        }
        return pb.ModelMetadataResponse(
            name=about["name"], versions=about["versions"], platform=about["platform"], **tensors
        )

    async def _repository(self, request: Any, context: Context) -> Any:
        raise Refusal("This server serves one model; deploy a version to change it.", 501)
