"""Nothing that a caller sends breaks the server: no 5xx, no dropped connection, no wrong answer."""

import asyncio
import gzip
import json
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import gateway as fuzzing
from tests.fuzz.bodies import JSON_TYPE, Request

PREDICT, INFER = "/v1/models/trips:predict", "/v2/models/trips/infer"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def opened(binary):
    return fuzzing.open_gateway(binary.path)


def ask(opened, request):
    gateway, judge = opened
    status, content = asyncio.run(fuzzing.ask(gateway, request))
    assert not judge.complaint(request, status, content), (request, status, content)
    return status, json.loads(content)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_broken_requests_are_refused_and_whole_ones_answered(models, task):
    statuses, wrong = asyncio.run(fuzzing.fuzz(models[task].path, 2_000, seed=1))
    assert wrong == []
    assert statuses[200] > 100 and statuses[400] > 100 and statuses[415] > 10


@settings(max_examples=200, deadline=None)
@given(
    changes=st.dictionaries(
        st.sampled_from(["fare", "passengers", "miles", "company", "total", "shared", "day", "x"]),
        JSON,
        max_size=3,
    ),
    path=st.sampled_from([PREDICT, PREDICT.replace("predict", "explain")]),
)
def test_cells_of_any_kind_are_read_or_refused(opened, binary, changes, path):
    body = json.dumps({"instances": [binary.rows[0] | changes]}).encode()
    ask(opened, Request(path, body))


@settings(max_examples=200, deadline=None)
@given(payload=JSON, path=st.sampled_from([PREDICT, INFER]))
def test_json_that_is_no_request_is_refused(opened, payload, path):
    assert ask(opened, Request(path, json.dumps(payload).encode()))[0] == 400


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200), path=st.sampled_from([PREDICT, INFER]))
def test_bytes_of_any_kind_are_refused(opened, body, path):
    assert ask(opened, Request(path, body))[0] == 400


def cases(row):
    whole = json.dumps({"instances": [row]})
    long_number = "1" * 400
    with_fare = whole.replace('"fare": ', '"fare": %s, "x": ')
    return {
        "deep lists": ('{"instances": ' + "[" * 900 + "]" * 900 + "}", "Row 0"),
        "deeper than the parser": ('{"instances": ' + "[" * 9_000, "not JSON"),
        "deep objects": ('{"instances": [' + '{"fare":' * 800 + "1" + "}" * 800 + "]}", "column"),
        "deep texts": ('{"a": ":", "instances": ' + '[{"a":' * 500 + "1" + "}]" * 500 + "}", ""),
        "a key twice": (whole.replace('"fare"', '"fare": 1.0, "fare"'), "'fare' comes twice"),
        "a key twice, spaced": (whole.replace('"fare"', '"fare" : 1.0, "fare"'), "comes twice"),
        "a key twice, escaped": (whole.replace('"fare"', '"f\\u0061re": 1, "fare"'), "comes twice"),
        "rows twice": (whole[:-1] + ', "instances": []}', "'instances' comes twice"),
        "beyond double": (with_fare % "1e400", "not JSON"),
        "a number of 400 digits": (with_fare % long_number, "not JSON"),
        "not a number": (with_fare % "NaN", "send null"),
        "infinite": (with_fare % "-Infinity", "not JSON"),
        "a lone surrogate": (whole.replace(row["driver"], "\\ud800"), "not JSON"),
        "a number as text": (whole.replace(str(row["fare"]), f'"{row["fare"]}"'), "'fare'"),
        "a boolean for a number": (whole.replace(str(row["fare"]), "true"), "'fare'"),
        "a trailing comma": (whole.replace("}]}", ",}]}"), "not JSON"),
        "two values": (whole + whole, "not JSON"),
        "a comment": (whole + "// row", "not JSON"),
        "a byte order mark": ("\ufeff" + whole, "not JSON"),
        "utf-16": (whole.encode("utf-16"), "not JSON"),
        "latin-1": (whole.replace(row["driver"], "Zoë").encode("latin-1"), "not JSON"),
        "a form": ("instances=1", "not JSON"),
        "empty": ("", "empty"),
        "spaces": (" \r\n", "empty"),
    }


NAMES = list(cases({"fare": 1.5, "driver": "x"}))


@pytest.mark.parametrize("case", NAMES)
def test_bodies_that_others_take_are_refused_with_the_reason(server, binary, case):
    row = {name: binary.rows[0][name] for name in binary.names}
    body, words = cases(row)[case]
    body = body if isinstance(body, bytes) else body.encode()
    for padding in (b"", b" " * 20_000):  # on the event loop, and beside it
        answer = server.post(PREDICT, content=body + padding, headers=dict([JSON_TYPE]))
        assert answer.status_code == 400, answer.text
        assert words in answer.json()["error"]


@pytest.mark.parametrize("number", ["12345678901234567890123", "1e308", "-0", "5e-324", "1E2"])
def test_numbers_of_any_size_are_answered_as_the_scorer_does(opened, binary, number):
    row = {name: binary.rows[0][name] for name in binary.names}
    text = json.dumps({"instances": [row | {"fare": 987.125}]}).replace("987.125", number)
    assert ask(opened, Request(PREDICT, text.encode()))[0] == 200


def test_colons_in_texts_are_no_keys(server, binary):
    row = {name: binary.rows[0][name] for name in binary.names}
    row |= {"driver": 'a":1,"driver":', "day": "2024-01-01T12:30:00"}
    assert server.predict([row]).status_code == 200
    spaced = json.dumps({"instances": [row]}, separators=(" , ", " : ")).encode()
    assert server.post(PREDICT, content=spaced).json() == server.predict([row]).json()


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("multipart/form-data; boundary=x", ""),
        ("application/x-ndjson", ""),
        ("application/json", "gzip"),
    ],
)
def test_other_kinds_of_body_are_415(server, binary, content_type, encoding):
    body = gzip.compress(json.dumps({"instances": binary.rows[:1]}).encode())
    headers = {"content-type": content_type} | ({"content-encoding": encoding} if encoding else {})
    answer = server.post(PREDICT, content=body, headers=headers)
    assert answer.status_code == 415 and answer.json()["error"]


def test_broken_requests_over_one_connection_never_end_it(server, opened):
    judge = opened[1]
    host, port = server.url.removeprefix("http://").split(":")
    connection = HTTPConnection(host, int(port), timeout=30)
    connection.connect()
    held, requests = connection.sock, judge.requests(seed=2)
    for _ in range(400):
        request = requests.next()
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        connection.request("POST", request.path, request.body, headers)
        answer = connection.getresponse()
        complaint = judge.complaint(request, answer.status, answer.read())
        assert not complaint, (complaint, request)
        assert connection.sock is held
    connection.close()
    assert "Traceback" not in server.text()


def test_bytes_that_are_no_http_leave_the_server_well(server, binary):
    host, port = server.url.removeprefix("http://").split(":")
    for noise in (b"\0" * 500, b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\x16\x03\x01" * 50):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(noise)
            assert connection.recv(100).startswith((b"HTTP/1.1 400", b""))
    assert server.predict(binary.rows[:1]).status_code == 200
    assert "Traceback" not in server.text()


def test_the_parsers_hold_under_coverage_guided_bytes(binary, tmp_path):
    pytest.importorskip("atheris")
    script = Path(fuzzing.__file__).with_name("parsers.py")
    command = [sys.executable, script, "--model_dir", binary.path, "-atheris_runs=1500"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert "Done 1500" in done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_many_broken_requests_are_refused_and_whole_ones_answered(models, task):
    statuses, wrong = asyncio.run(fuzzing.fuzz(models[task].path, 8_000, seed=3))
    assert wrong == [] and not any(status >= 500 for status in statuses)
