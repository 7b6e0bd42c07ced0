"""Spans for OpenTelemetry: one a prediction, with its stages below it. Needs the extra `tracing`.

They are made when a request is over, from the times that were taken anyway.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from shipway.components.predictor.observing import OTHER

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from shipway.components.predictor.engine import Engine
    from shipway.components.predictor.observing import Exchange

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
ROUTES = {
    "v1_predict": "/v1/models/{model}:predict",
    "v2_infer": "/v2/models/{model}/infer",
    "explain": "/v1/models/{model}:explain",
    "grpc": "inference.GRPCInferenceService/ModelInfer",
}
FLUSH_SECONDS = 5


class Tracer:
    """Sends spans to a collector, from a thread of its own."""

    def __init__(self, engine: "Engine", environment: Mapping[str, str]) -> None:
        """Take everything else from the variables that OpenTelemetry defines."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        about = {"shipway.model.name": engine.name, "shipway.model.digest": engine.digest}
        if engine.version:
            about["shipway.model.version"] = engine.version
        named = "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
        if not named and not environment.get("OTEL_SERVICE_NAME"):
            about["service.name"] = "shipway-predictor"
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("shipway.components.predictor")
        self._context = TraceContextTextMapPropagator()
        self._within = set_span_in_context
        self._server, self._failed = SpanKind.SERVER, Status(StatusCode.ERROR)

    def record(self, exchange: "Exchange", ended: float) -> None:
        """Make the spans of a request that is over, and note its trace.

        Health checks and metrics are no predictions, and get none.
        """
        if exchange.kind == OTHER:
            return
        now, passed = time.time_ns(), perf_counter()

        def moment(at: float) -> int:
            return now - int((passed - at) * 1e9)

        scope = exchange.scope
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate")
        }
        route = ROUTES.get(exchange.kind, exchange.kind)
        span = self._tracer.start_span(
            f"{scope['method']} {route}",
            context=self._context.extract(carrier),
            kind=self._server,
            attributes=_attributes(exchange, route),
            start_time=moment(exchange.began),
        )
        exchange.trace_id = format(span.get_span_context().trace_id, "032x")
        if span.is_recording():
            if exchange.status >= 500:
                span.set_status(self._failed)
            self._stages(span, exchange, moment)
        span.end(moment(ended))

    def _stages(self, span: "Span", exchange: "Exchange", moment: Any) -> None:
        context = self._within(span)
        times = [exchange.received, exchange.read, exchange.scored, exchange.answered]
        for name, start, end in zip(("read", "score", "answer"), times, times[1:], strict=False):
            if start and end:
                stage = self._tracer.start_span(name, context=context, start_time=moment(start))
                stage.end(moment(end))

    def close(self) -> None:
        """Send what is there; a collector that does not answer is not waited for."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(FLUSH_SECONDS)


def _attributes(exchange: "Exchange", route: str) -> dict[str, str | int]:
    question = exchange.question
    attributes: dict[str, str | int] = {
        "http.request.method": exchange.scope["method"],
        "http.route": route,
        "url.path": exchange.scope["path"],
        "http.response.status_code": exchange.status,
        "http.request.body.size": len(exchange.body),
        "http.response.body.size": exchange.sent,
        "shipway.request_id": exchange.request_id.decode("ascii"),
        "shipway.rows": 0 if question is None else question.rows,
    }
    if exchange.cause:
        attributes["error.type"] = exchange.cause
    return attributes


def open_tracer(engine: "Engine", environment: Mapping[str, str] = os.environ) -> Tracer | None:
    """A tracer, where the environment names a collector and the packages are there; else None."""
    name = next((name for name in ENDPOINTS if environment.get(name)), "")
    if not name or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), "")
    if protocol not in ("", "http/protobuf"):
        logger.error(
            "%s is set, but spans are sent by 'http/protobuf' alone and '%s' is asked for; there "
            "are no traces. Unset %s.",
            name,
            protocol,
            PROTOCOLS[1],
        )
        return None
    try:
        tracer = Tracer(engine, environment)
    except ImportError as error:
        logger.error(
            "%s is set, but %s is not installed; there are no traces. "
            "Install shipway[serve,tracing], or unset the variable.",
            name,
            error.name,
        )
        return None
    logger.info("Spans go to %s.", environment[name].split("?")[0].rpartition("@")[2])
    return tracer
