"""Spans, as a collector on loopback gets them."""

import gzip
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, and decodes it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def resources(self) -> list[dict]:
        return [
            {item.key: item.value.string_value for item in resource.resource.attributes}
            for request in self.requests
            for resource in request.resource_spans
        ]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        assert self.headers["content-type"] == "application/x-protobuf"
        self.server.requests.append(trace_service.ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def collector(monkeypatch):
    server = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    yield server
    server.shutdown()
    server.server_close()


def attributes_of(span) -> dict:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


def test_a_prediction_is_a_span_with_its_stages_below_the_callers(collector, binary, serving):
    began = time.time_ns()
    with serving(binary.path, "--model_version", "3") as served:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "r-1"}
        served.post(
            "/v1/models/trips:predict", json={"instances": binary.rows[:2]}, headers=headers
        )
        served.get("/v2/health/live")
        served.get("/metrics")
    spans = {span.name: span for span in collector.spans()}
    root = spans.pop("POST /v1/models/{model}:predict")
    assert list(spans) == ["read", "score", "answer"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, PARENT)
    assert root.kind == root.SPAN_KIND_SERVER
    found = attributes_of(root)
    assert found["http.response.status_code"] == 200
    assert (found["shipway.rows"], found["shipway.request_id"]) == (2, "r-1")
    end = root.start_time_unix_nano
    for stage in spans.values():
        assert (stage.trace_id, stage.parent_span_id) == (root.trace_id, root.span_id)
        assert end <= stage.start_time_unix_nano <= stage.end_time_unix_nano
        end = stage.end_time_unix_nano
    assert began < root.start_time_unix_nano < end <= root.end_time_unix_nano < time.time_ns()
    (about,) = collector.resources()
    assert about["service.name"] == "shipway-predictor"
    assert about["shipway.model.digest"] == binary.digest


def test_a_refusal_has_its_cause_and_a_request_without_context_a_trace_of_its_own(
    collector, binary, serving
):
    with serving(binary.path, "--log_requests", "1") as served:
        served.predict([])
        served.predict(binary.rows[:600])  # in a thread
    refused, answered = (s for s in collector.spans() if s.kind == s.SPAN_KIND_SERVER)
    assert attributes_of(refused)["error.type"] == "shape"
    assert refused.trace_id != answered.trace_id and not any(refused.parent_span_id)
    assert f"trace_id='{answered.trace_id.hex()}'" in served.text()
    assert len(collector.spans()) == 5


def test_a_caller_decides_and_a_context_that_is_none_begins_a_new_trace(collector, binary, serving):
    contexts = ["", "x", f"00-{'0' * 32}-{PARENT}-01", "00-" + "z" * 60]
    with serving(binary.path) as served:
        for value in (f"00-{TRACE}-{PARENT}-00", *contexts):  # the first does not sample
            headers = {"traceparent": value}
            answer = served.post(
                "/v1/models/trips:predict", json={"instances": []}, headers=headers
            )
            assert answer.status_code == 400
    spans = collector.spans()
    assert len({span.trace_id for span in spans}) == len(spans) == len(contexts)
    assert TRACE not in {span.trace_id.hex() for span in spans}
    assert not any(any(span.parent_span_id) for span in spans)


def test_the_environment_names_the_service(collector, binary, serving, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fares")
    with serving(binary.path) as served:
        served.predict([])
    assert collector.resources()[0]["service.name"] == "fares"


def test_a_collector_that_does_not_answer_holds_up_neither_requests_nor_the_end(
    binary, serving, monkeypatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with serving(binary.path) as served:
        assert served.predict(binary.rows[:1]).status_code == 200
        began = time.monotonic()
        served.process.terminate()
        assert served.process.wait(20) == 0
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "'grpc' is asked for"),
        ("OTEL_SDK_DISABLED", "true", ""),
    ],
)
def test_what_turns_it_off(collector, binary, serving, monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    with serving(binary.path) as served:
        assert served.predict(binary.rows[:1]).status_code == 200
    assert collector.requests == []
    assert said in served.text()


def test_packages_that_are_absent_are_named(binary):
    script = (
        "import logging, sys\n"
        "logging.basicConfig()\n"
        "sys.modules['opentelemetry.sdk'] = None\n"
        "from shipway.components.predictor.tracing import open_tracer\n"
        "from types import SimpleNamespace\n"
        "engine = SimpleNamespace(name='trips', version='', digest='x')\n"
        "assert open_tracer(engine, {}) is None\n"
        "there = {'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:9'}\n"
        "assert open_tracer(engine, there) is None\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set, but opentelemetry.sdk" in done.stderr
    assert "Install shipway[serve,tracing]" in done.stderr
