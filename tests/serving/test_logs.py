"""Log lines of requests, ids of requests, and the form of the lines of the server itself."""

import io
import json
import re
import time
from types import SimpleNamespace

import httpx
import pytest

from shipway.components.predictor.observing import Exchange
from shipway.components.predictor.request_log import RequestLog

TRACE = "0af7651916cd43dd8448eb211c80319c"
ALL = ["--log_requests", "1", "--log_format", "json"]


@pytest.fixture(scope="module")
def logged(binary, serving):
    with serving(binary.path, *ALL) as served:
        yield served


def line_of(served, request_id: str) -> dict:
    """The one line of a request, once it has come through the pipe."""
    end = time.monotonic() + 10
    while not (found := [json.loads(line) for line in served.log if request_id in line]):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert len(found) == 1
    return found[0]


def test_a_line_says_what_came_what_was_answered_and_how_long_it_took(logged, binary):
    body = json.dumps({"instances": binary.rows[:3]}, default=str).encode()
    headers = {"x-request-id": "abc-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    answer = logged.post("/v1/models/trips:predict", content=body, headers=headers)
    line = line_of(logged, "abc-1")
    assert answer.headers["x-request-id"] == "abc-1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert 0 < line.pop("seconds") < 30
    assert line == {
        "level": "info",
        "message": "request",
        "request_id": "abc-1",
        "method": "POST",
        "path": "/v1/models/trips:predict",
        "status": 200,
        "rows": 3,
        "bytes_in": len(body),
        "bytes_out": len(answer.content),
        "cause": "",
        "trace_id": TRACE,
    }


def test_a_refusal_has_its_cause(logged):
    answer = logged.predict([{"fare": 1.0}])
    line = line_of(logged, answer.headers["x-request-id"])
    assert (line["status"], line["cause"], line["rows"]) == (400, "missing_column", 0)


def test_an_id_is_made_where_none_came_and_is_another_each_time(logged, binary):
    ids = {logged.predict(binary.rows[:1]).headers["x-request-id"] for _ in range(5)}
    ids |= {logged.get(path).headers["x-request-id"] for path in ("/v2", "/metrics", "/none")}
    assert len(ids) == 8
    assert all(re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]+", each) for each in ids)


@pytest.mark.parametrize("given", ["", "x" * 129, "tab\there", "h\xe9"], ids=repr)
def test_an_id_that_is_too_long_or_not_printable_is_replaced(logged, given):
    headers = [(b"x-request-id", given.encode("latin-1"))]
    answer = logged.client.get(logged.url + "/v2", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != given


def test_every_line_of_the_server_is_json(binary, serving):
    with serving(binary.path, *ALL) as served:
        served.predict(binary.rows[:1])
    lines = [json.loads(line) for line in served.log]
    assert {"time", "level", "message"} <= set.intersection(*(set(line) for line in lines))
    messages = [line["message"] for line in lines]
    assert any("answers on http://" in message for message in messages)
    assert messages[-1] == "Stopped." and "request" in messages


def test_text_lines_hold_the_same(binary, serving):
    with serving(binary.path, "--log_requests", "1") as served:
        headers = {"x-request-id": "abc-2"}
        served.post("/v1/models/trips:predict", json={"instances": []}, headers=headers)
    (line,) = [line for line in served.log if "abc-2" in line]
    assert "INFO request request_id='abc-2' method='POST'" in line
    assert "status=400 rows=0" in line and "cause='shape'" in line


def test_no_line_is_written_for_a_share_of_none_and_some_for_a_few(binary, serving):
    counts = []
    for share in ("0", "0.2"):
        with serving(binary.path, "--log_requests", share) as served:
            for _ in range(300):
                served.predict([])
        counts.append(sum(" request " in line for line in served.log))
    assert counts[0] == 0
    assert 30 <= counts[1] <= 95


@pytest.mark.parametrize("share", ["2", "-0.1", "nan", "x"])
def test_a_share_that_is_none_is_refused(tmp_path, refused, share):
    status, text = refused("--model_dir", tmp_path, f"--log_requests={share}")
    assert status == 2
    assert "must be a number from 0 to 1" in text


def test_a_line_cannot_be_forged_by_a_path(binary, serving):
    for flags in (ALL, ["--log_requests", "1"]):
        with serving(binary.path, *flags) as served:
            served.get("/x%0a2030-01-01%20INFO%20forged")
        assert not any(line.startswith("2030") for line in served.log)
        assert sum("forged" in line for line in served.log) == 1


def test_json_is_the_default_in_a_pod(binary, serving, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with serving(binary.path) as served:
        pass
    assert json.loads(served.log[-1])["message"] == "Stopped."


def test_a_log_that_nobody_reads_fails_no_request():
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    exchange = Exchange({"method": "GET", "path": "/", "headers": []}, SimpleNamespace(), b"id")
    RequestLog(1.0, "json", Broken()).write(exchange, exchange.began + 1)


def test_a_client_that_goes_away_is_counted_as_such(logged):
    host, port = logged.url.removeprefix("http://").split(":")
    with httpx.Client(trust_env=False) as client:

        def endless():
            yield b"{"
            raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            client.post(f"http://{host}:{port}/v1/models/trips:predict", content=endless())
    for _ in range(100):
        text = logged.get("/metrics").text
        found = [line for line in text.splitlines() if 'cause="disconnected"' in line]
        if found:
            break
    assert found and found[0].endswith(" 1.0")
