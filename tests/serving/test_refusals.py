"""Bad input against a running server: a 4xx that names the column, never a 5xx."""

import json
import socket
from http.client import HTTPConnection

import pytest

JSON = {"content-type": "application/json"}


def row(binary, **changes):
    return {**binary.rows[0], **changes}


def lacking(binary, name):
    return {key: value for key, value in binary.rows[0].items() if key != name}


def tensors(binary, **changes):
    datatypes = {"fare": "FP64", "passengers": "INT64", "miles": "FP64", "shared": "BOOL"}
    inputs = {
        name: {
            "name": name,
            "datatype": datatypes.get(name, "BYTES"),
            "shape": [1],
            "data": [binary.rows[0][name]],
        }
        for name in binary.names
    }
    for name, change in changes.items():
        inputs[name] = inputs[name] | change
    return {"inputs": list(inputs.values())}


V1_CASES = {
    "missing": (lambda b: [lacking(b, "fare")], "fare"),
    "misspelt": (lambda b: [{**lacking(b, "fare"), "faree": 1.0}], "faree"),
    "unknown": (lambda b: [row(b, tips=3.0)], "tips"),
    "text for a number": (lambda b: [row(b, fare="12.5")], "fare"),
    "boolean for a number": (lambda b: [row(b, fare=True)], "fare"),
    "null never seen": (lambda b: [row(b, fare=None)], "fare"),
    "list for a number": (lambda b: [row(b, fare=[1])], "fare"),
    "object for text": (lambda b: [row(b, company={})], "company"),
    "number for text": (lambda b: [row(b, company=3)], "company"),
    "number for a boolean": (lambda b: [row(b, shared=1)], "shared"),
    "text for a boolean": (lambda b: [row(b, shared="true")], "shared"),
    "no word of yes or no": (lambda b: [row(b, partner="perhaps")], "partner"),
    "no date": (lambda b: [row(b, day="31.01.2024")], "day"),
    "later row": (lambda b: [row(b), row(b, passengers="two")], "Row 1, column 'passengers'"),
    "many rows": (lambda b: [row(b)] * 60 + [row(b, fare="x")], "Row 60, column 'fare'"),
    "ragged lists": (lambda b: [[1, 2, 3]], "fare"),
    "lists of two lengths": (
        lambda b: [[b.rows[0][name] for name in b.names], [1]],
        "Row 1 has 1 values",
    ),
    "a cell of a list row": (
        lambda b: [["x", *[b.rows[0][name] for name in b.names][1:]]],
        "column 'fare'",
    ),
    "mixed": (lambda b: [row(b), [1]], "Row 1"),
    "scalars": (lambda b: [1, 2], "Row 0"),
    "empty": (lambda b: [], "empty"),
    "null": (lambda b: None, "list of rows"),
    "object": (row, "list of rows"),
}


@pytest.mark.parametrize("case", V1_CASES)
def test_bad_v1_rows_are_400_and_name_the_column(server, binary, case):
    make, words = V1_CASES[case]
    answer = server.predict(make(binary))
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


V2_CASES = {
    "wrong datatype": ({"fare": {"datatype": "BYTES"}}, "fare"),
    "unknown datatype": ({"fare": {"datatype": "FLOAT64"}}, "fare"),
    "text in numbers": ({"fare": {"data": ["x"]}}, "fare"),
    "null never seen": ({"fare": {"data": [None]}}, "fare"),
    "shape and data differ": ({"fare": {"shape": [2]}}, "fare"),
    "two columns in one": ({"fare": {"shape": [1, 2], "data": [1, 2]}}, "fare"),
    "ragged": ({"fare": {"shape": [2], "data": [1, 2]}}, "fare"),
    "nested oddly": ({"fare": {"data": [[[1]]]}}, "fare"),
    "no shape": ({"fare": {"shape": None}}, "fare"),
    "no data": ({"fare": {"data": None}}, "fare"),
    "twice": ({"miles": {"name": "fare"}}, "'fare' comes twice"),
    "unknown": ({"fare": {"name": "faree"}}, "faree"),
    "no name": ({"fare": {"name": None}}, "'name'"),
    "out of range": ({"passengers": {"datatype": "INT8", "data": [200]}}, "passengers"),
    "fraction": ({"passengers": {"data": [1.5]}}, "passengers"),
}


@pytest.mark.parametrize("case", V2_CASES)
def test_bad_v2_tensors_are_400_and_name_the_column(server, binary, case):
    changes, words = V2_CASES[case]
    answer = server.infer(tensors(binary, **changes))
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]


BODIES = [
    b"",
    b" ",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b'"x"',
    b"3",
    b"\xff\xfe",
    b'{"instances": [{"fare": NaN}]}',
    b'{"instances": [{"fare": 1e400}]}',
    b'{"inputs": {}}',
    b'{"inputs": []}',
    b'{"inputs": [null]}',
    b"[" * 5000,
]


@pytest.mark.parametrize("path", ["/v1/models/trips:predict", "/v2/models/trips/infer"])
@pytest.mark.parametrize("body", BODIES)
def test_bodies_that_are_no_request_are_400(server, path, body):
    answer = server.post(path, content=body, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ('application/json; charset="UTF-8"', 200),
        ("application/vnd.api+json", 200),
        (None, 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=latin-1", 415),
    ],
)
def test_content_types(server, binary, content_type, status):
    headers = {"content-type": content_type} if content_type else {}
    body = json.dumps({"instances": binary.rows[:1]}).encode()
    for path, content in (
        ("/v1/models/trips:predict", body),
        ("/v2/models/trips/infer", json.dumps(tensors(binary)).encode()),
    ):
        answer = server.post(path, content=content, headers=headers)
        assert answer.status_code == status, answer.text
        assert ("error" in answer.json()) == (status != 200)


@pytest.mark.parametrize(
    ("path", "headers", "word"),
    [
        ("/v2/models/trips/infer", {"content-encoding": "gzip"}, "gzip"),
        ("/v1/models/trips:predict", {"inference-header-content-length": "2"}, "bytes"),
    ],
)
def test_encodings_that_are_not_taken_are_415(server, path, headers, word):
    answer = server.post(path, content=b"{}", headers=JSON | headers)
    assert answer.status_code == 415
    assert word in answer.json()["error"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413_and_the_server_goes_on(server, binary, chunked):
    body = b" " * (1_100_000)
    content = iter([body[i : i + 65_536] for i in range(0, len(body), 65_536)]) if chunked else body
    answer = server.post("/v1/models/trips:predict", content=content, headers=JSON)
    assert answer.status_code == 413
    assert "1,048,576 bytes" in answer.json()["error"]
    assert server.predict(binary.rows[:1]).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/other:predict", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", "/v1/models/other", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/other/ready", 404),
        ("POST", "/v2/repository/models/trips/unload", 404),
        ("POST", "/v2/repository/models/trips/load", 404),
        ("POST", "/v2/repository/models/trips/unload/", 404),
        ("POST", "/v2/%72epository/models/trips/unload", 404),
        ("GET", "/v1/models/trips:predict", 405),
        ("DELETE", "/v2/models/trips/infer", 405),
        ("POST", "/v2/models/trips", 405),
        ("GET", "/nothing/here", 404),
    ],
)
def test_other_paths_and_methods_have_the_same_error_shape(server, method, path, status):
    answer = server.client.request(method, server.url + path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert server.get("/v1/models/trips").json()["ready"] is True


def test_a_client_that_goes_away_leaves_the_server_well(server, binary):
    host, port = server.url.removeprefix("http://").split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port))) as connection:
            head = (
                "POST /v1/models/trips:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\n\r\n"
            )
            connection.sendall(head.encode() + b'{"instances"')
    assert server.predict(binary.rows[:1]).status_code == 200
    assert "Traceback" not in server.text()


def test_errors_do_not_break_the_connection(server, binary):
    host, port = server.url.removeprefix("http://").split(":")
    connection = HTTPConnection(host, int(port), timeout=30)
    connection.connect()
    held = connection.sock
    for _ in range(20):
        for rows, status in (([{}], 400), (binary.rows[:1], 200)):
            connection.request("POST", "/v1/models/trips:predict", json.dumps({"instances": rows}))
            answer = connection.getresponse()
            assert answer.status == status
            answer.read()
            assert connection.sock is held
    connection.close()


def test_the_row_limit_is_413(binary, serving):
    with serving(binary.path, "--max_rows", 10) as served:
        assert served.predict(binary.rows[:10]).status_code == 200
        answer = served.predict(binary.rows[:11])
    assert answer.status_code == 413
    assert "11 rows" in answer.json()["error"]


def test_requests_leave_no_lines_in_the_log(server, binary):
    lines = server.text().count("\n")
    for _ in range(5):
        server.predict(binary.rows[:1])
        server.predict([{}])
        server.get("/v1/models/other")
    assert server.text().count("\n") == lines <= 2
