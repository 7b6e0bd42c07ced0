"""What slow, greedy and broken clients get, and that nobody else notices them."""

import asyncio
import json
import socket
import threading
import time

import httpx
import pytest

from shipway.components.predictor.limits import WORK_THREADS, Limits
from shipway.components.predictor.refusals import Refusal

PREDICT = "/v1/models/trips:predict"
FLAGS = ["--max_body_mib", 1, "--header_seconds", 1, "--transfer_seconds", 3]


@pytest.fixture(scope="module")
def tight(binary, serving):
    with serving(binary.path, *FLAGS, "--max_connections", 24) as served:
        yield served
        assert "Traceback" not in served.text()


@pytest.fixture(scope="module")
def body(binary):
    return json.dumps({"instances": binary.rows[:1]}).encode()


def connect(served) -> socket.socket:
    host, port = served.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=15)


def head(length: int | str | None = None, *lines: str) -> bytes:
    sized = [] if length is None else [f"content-length: {length}"]
    return "\r\n".join([f"POST {PREDICT} HTTP/1.1", "host: x", *sized, *lines, "", ""]).encode()


def everything(connection: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def one(connection: socket.socket) -> bytes:
    """The next answer; the connection stays open."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += connection.recv(65_536)
    head, _, body = text.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def statuses(text: bytes) -> list[int]:
    return [int(part[:3]) for part in text.split(b"HTTP/1.1 ")[1:]]


def assert_answers_soon(served, rows) -> None:
    began = time.monotonic()
    assert served.predict(rows[:1]).status_code == 200
    assert served.get("/v2/health/live").json() == {"live": True}
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    ("sent", "then", "said"),
    [
        (b"POST / HT", b"", "headers did not come whole in 1 s"),
        (b"POST / HTTP/1.1\r\n", b"a: b\r\n", "headers did not come whole in 1 s"),
        (b"\r\n", b"\r\n", "headers did not come whole in 1 s"),
        (head(100) + b"{", b" ", "body did not come whole in 3 s"),
        (head(None, "transfer-encoding: chunked") + b"1\r\n{\r\n", b"", "body did not come whole"),
    ],
)
def test_a_client_that_never_ends_its_request_is_told_and_left(tight, binary, sent, then, said):
    with connect(tight) as connection:
        connection.sendall(sent)
        connection.settimeout(0.25)
        answer, began = b"", time.monotonic()
        while time.monotonic() - began < 10 and not answer:
            try:
                answer = connection.recv(4096)
            except TimeoutError:
                connection.sendall(then)  # never as long silent as to be idle
        assert_answers_soon(tight, binary.rows)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert said in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_a_client_that_says_nothing_is_left(tight):
    with connect(tight) as connection:
        assert everything(connection) == b""


def test_many_slow_clients_hold_up_nobody(tight, binary, body):
    slow = [connect(tight) for _ in range(18)]
    for connection in slow:
        connection.sendall(head(len(body)) + body[:10])
    assert_answers_soon(tight, binary.rows)
    for connection in slow:
        connection.sendall(body[10:])
    for connection in slow:
        assert statuses(one(connection)) == [200]
        connection.close()


def test_a_client_that_does_not_take_its_answers_is_left(tight, binary):
    with connect(tight) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(1.0)
        ask = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 50  # long answers
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 40:
                try:
                    connection.sendall(ask)
                except TimeoutError:
                    assert_answers_soon(tight, binary.rows)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 900_000, 414),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 90_000, 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9, 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nhost: \x00\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (head("-1"), 400),
        (head("9" * 30), 400),
        (head(1) + b"", 408),
        (head(5, "content-length: 6"), 400),
        (head(5, "transfer-encoding: chunked") + b"0\r\n\r\n", 400),
        (head(None, "transfer-encoding: chunked") + b"zz\r\n", 400),
        (head(None, "transfer-encoding: chunked", "connection: close") + b"0\r\n\r\n", 400),
        (head(1 << 40, "expect: 100-continue"), 413),
    ],
)
def test_what_is_no_request_has_an_answer(tight, binary, sent, status):
    with connect(tight) as connection:
        connection.sendall(sent)
        # After a 413 the server waits for the next request.
        answer = one(connection) if status == 413 else everything(connection)
    assert statuses(answer) == [status]
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error"}
    assert_answers_soon(tight, binary.rows)


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(("times", "status"), [(1, 200), (9_000, 413)])
def test_chunked_bodies_have_the_same_limit(tight, body, times, status):
    rows = json.loads(body)["instances"] * times
    sent = chunked(json.dumps({"instances": rows}).encode(), 4_096)
    lines = ["transfer-encoding: chunked", "content-type: application/json"]
    with connect(tight) as connection:
        connection.sendall(head(None, *lines) + sent)
        assert statuses(one(connection)) == [status]


def test_a_body_that_is_longer_than_it_says_is_answered_and_the_rest_is_no_request(tight, body):
    with connect(tight) as connection:
        connection.sendall(head(len(body)) + body + b"}}}")
        assert statuses(everything(connection)) in ([200], [200, 400])


def test_a_body_that_ends_before_its_length_is_dropped(tight, binary, body):
    with connect(tight) as connection:
        connection.sendall(head(len(body) + 5) + body)
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == b""
    assert_answers_soon(tight, binary.rows)


def test_expect_100_continue(tight, body):
    with connect(tight) as connection:
        connection.sendall(head(len(body), "expect: 100-continue"))
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert statuses(one(connection)) == [200]


def test_pipelined_requests_are_answered_in_their_order(tight, body):
    asks = [head(len(body)) + body, b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"] * 20
    last = b"GET /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with connect(tight) as connection:
        connection.sendall(b"".join(asks) + last)
        assert statuses(everything(connection)) == [200] * 40 + [404]


def test_an_offer_of_another_protocol_is_passed_over(tight, body):
    http2 = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]
    asks = [head(len(body), *http2) + body] * 2  # as Java's client does
    asks += [b"GET /v2 HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"] * 2
    with connect(tight) as connection:
        for ask in [*asks, head(len(body)) + body]:
            connection.sendall(ask)
            assert statuses(one(connection)) == [200]


def test_more_connections_than_allowed_are_turned_away(tight):
    opened = [connect(tight) for _ in range(30)]
    time.sleep(0.3)
    with connect(tight) as one_more:
        answer = everything(one_more)
    assert statuses(answer) == [503] and b"retry-after: 1\r\n" in answer
    for connection in opened:
        connection.close()
    time.sleep(0.3)
    assert tight.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b'{"instances":' + b"[" * 3000,
        b'{"instances":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"instances":' + b'{"a":' * 3000 + b"1" + b"}" * 3001,
        b'{"instances":[[1e999]]}',
        b'{"instances":[[' + b"9" * 5000 + b"]]}",
    ],
)
def test_deep_nesting_and_numbers_beyond_double_are_refused(tight, content):
    for path in (PREDICT, "/v2/models/trips/infer"):
        answer = tight.post(path, content=content)
        assert answer.status_code in (400, 422) and answer.json()["error"]


def test_above_the_most_requests_at_once_they_are_shed(binary, serving):
    rows = json.dumps({"instances": binary.rows * 20}).encode()  # long work, in a thread
    answers, start = [], threading.Barrier(8)
    with serving(binary.path, "--max_concurrent", 2) as served:

        def ask() -> None:
            with httpx.Client(trust_env=False, timeout=60) as client:
                start.wait()
                answers.append(client.post(served.url + PREDICT, content=rows))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert served.predict(binary.rows[:1]).status_code == 200
    shed = [answer for answer in answers if answer.status_code == 503]
    assert 0 < len(shed) < len(answers)
    assert all(answer.status_code in (200, 503) for answer in answers)
    for answer in shed:
        assert answer.headers["retry-after"] == "1"
        assert "requests are being answered" in answer.json()["error"]


def test_bodies_are_held_up_to_a_size_in_all():
    limits = Limits(max_concurrent=1, max_body_bytes=100, timeout_seconds=1)
    limits.hold(390)
    with pytest.raises(Refusal, match="other bodies") as caught:
        limits.hold(11)
    assert caught.value.status == 503
    limits.release(390)
    limits.hold(400)


def test_work_that_takes_too_long_is_given_up_and_takes_no_thread_for_ever():
    stuck = threading.Event()

    def wait(_: int) -> bytes:
        stuck.wait(20)
        return b""

    async def scenario() -> None:
        limits = Limits(max_concurrent=9, max_body_bytes=100, timeout_seconds=0.2)
        for _ in range(WORK_THREADS):
            with pytest.raises(Refusal, match="took longer than 0.2 s") as caught:
                await limits.run(wait, 1, size=10)
            assert caught.value.status == 504
        assert (limits.abandoned, limits.held) == (WORK_THREADS, 10 * WORK_THREADS)
        with pytest.raises(Refusal, match="hold every thread") as caught:
            await limits.run(wait, 1, size=10)
        assert caught.value.status == 503
        stuck.set()
        await asyncio.sleep(0.2)
        assert (limits.abandoned, limits.held, limits.running) == (0, 0, 0)
        assert await limits.run(lambda: b"answer", size=10) == b"answer"
        limits.close()

    asyncio.run(scenario())


def test_work_that_waits_too_long_for_a_thread_is_never_begun():
    begun, stuck = [], threading.Event()

    def wait(name: int) -> bytes:
        begun.append(name)
        stuck.wait(20)
        return b""

    async def scenario() -> None:
        limits = Limits(max_concurrent=9, max_body_bytes=100, timeout_seconds=0.3)
        jobs = [limits.run(wait, name, size=1) for name in range(WORK_THREADS + 3)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert {result.status for result in results} == {504}
        stuck.set()
        await asyncio.sleep(0.2)
        assert len(begun) == WORK_THREADS and limits.running == 0
        limits.close()

    asyncio.run(scenario())
