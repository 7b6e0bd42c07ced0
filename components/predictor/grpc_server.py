"""KServe's V2 protocol over gRPC, in the event loop of the REST server."""

import logging
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any
from urllib.parse import quote

import grpc  # type: ignore[import-untyped]
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from shipway.components import __version__
from shipway.components.lib.errors import EndpointError
from shipway.components.lib.scoring import Prediction
from shipway.components.predictor.batching import Batcher
from shipway.components.predictor.binary import EXTENSION
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.health import Health
from shipway.components.predictor.limits import Limits
from shipway.components.predictor.messages import Answers, parsed_message, read_message
from shipway.components.predictor.observing import Exchange, Observer
from shipway.components.predictor.questions import Question
from shipway.components.predictor.refusals import Refusal
from shipway.components.predictor.settings import Settings
from shipway.components.predictor.v2 import V2

logger = logging.getLogger(__name__)

SERVICE = "inference.GRPCInferenceService"
INLINE_BYTES = 16_384
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
            settings: host, port and the largest message.
            health: whether the server is ready.
            limits: of what is answered at once, REST included.
            observer: sees every prediction.
        """
        self._engine, self._health, self._limits = engine, health, limits
        self._observer = observer
        self._grace = settings.grace_seconds
        self._v2 = V2(engine)
        self._answers = Answers(engine, self._v2.outputs)
        self._batcher = Batcher(engine.score)
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
            port = self._server.add_insecure_port(self._address)
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
        exchange = self._observer.begin(_scope(context.invocation_metadata()), _nowhere)
        exchange.kind, exchange.body, exchange.received = "grpc", data, exchange.began
        request_id = ("x-request-id", exchange.request_id.decode("ascii"))
        context.set_trailing_metadata((*self._metadata, request_id))
        try:
            exchange.answer = await self._predict(exchange)
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

    async def _predict(self, exchange: Exchange) -> bytes:
        limits, data = self._limits, exchange.body
        limits.enter()
        try:
            if len(data) > INLINE_BYTES:
                return await limits.run(self._work, exchange, size=len(data))
            question, raw = self._read(exchange)
            prediction = await self._batcher.submit(question.batch.features)
            return self._write(exchange, question, prediction, raw)
        finally:
            limits.leave()

    def _work(self, exchange: Exchange) -> bytes:
        question, raw = self._read(exchange)
        prediction = self._engine.score(question.batch.features)
        return self._write(exchange, question, prediction, raw)

    def _read(self, exchange: Exchange) -> tuple[Question, bool]:
        message = parsed_message(exchange.body)
        self._engine.check_asked(message.model_name, message.model_version)
        envelope, raw = read_message(message, self._engine.task, self._v2.outputs.names)
        exchange.question = question = self._v2.question(envelope)
        exchange.read = perf_counter()
        return question, raw

    def _write(
        self, exchange: Exchange, question: Question, prediction: Prediction, raw: bool
    ) -> bytes:
        exchange.scored = perf_counter()
        content = self._answers.write(question, prediction, raw)
        exchange.answered = perf_counter()
        return content

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


def _scope(metadata: Any) -> dict[str, Any]:
    """A call as those see it who observe requests of HTTP."""
    headers = [
        (key.encode(), value if isinstance(value, bytes) else value.encode("latin-1", "replace"))
        for key, value in metadata or ()
    ]
    return {"method": "POST", "path": f"/{SERVICE}/ModelInfer", "headers": headers}


async def _nowhere(message: Any) -> None:
    """Send nothing: the answer of a call is what its method returns."""
