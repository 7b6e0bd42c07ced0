import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from shipway.components.alert.logic import WEBHOOK, Outcome, send
from shipway.components.lib.ports import free_port

GOOD = Outcome("SUCCEEDED", "runs/7", "", "taxi")
BAD = Outcome("FAILED", "runs/8", "train: out of memory", "taxi")


class Hook(BaseHTTPRequestHandler):
    """Keeps what it gets, and answers with the next of the server's statuses, at last 200."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, self.headers["content-type"], json.loads(body)))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.statuses = [], []
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{server.server_port}/t0psecret")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "CACHED"])
def test_a_good_end_is_said_with_model_and_store(state: str, hook: HTTPServer) -> None:
    assert send(Outcome(state, "runs/7", "", "taxi"), "gs://models")
    ((path, kind, message),) = hook.got
    assert (path, kind) == ("/t0psecret", "application/json")
    assert "'taxi' ended" in message.pop("text")
    assert message == {
        "model_name": "taxi",
        "model_store": "gs://models",
        "state": state,
        "run": "runs/7",
        "error": "",
    }


def test_a_failure_is_said_with_its_reason(
    hook: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert send(BAD)
    assert hook.got[0][2]["text"] == "The run for model 'taxi' failed: train: out of memory."
    assert [r.message for r in caplog.records if r.levelno == logging.ERROR] == [
        "The run for model 'taxi' failed: train: out of memory."
    ]
    assert send(Outcome("CANCELLED", "runs/9", "", "taxi"))
    assert "failed: see its log" in hook.got[1][2]["text"]


def test_a_webhook_that_is_busy_is_asked_again(hook: HTTPServer) -> None:
    hook.statuses += [500, 503]
    assert send(GOOD)
    assert len(hook.got) == 3


def test_a_webhook_that_refuses_does_not_fail_the_run(
    hook: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shipway")
    hook.statuses += [500] * 9
    assert not send(GOOD)
    assert len(hook.got) == 3
    assert "The webhook did not take the message: HTTPStatusError." in caplog.text
    assert "t0psecret" not in caplog.text


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/t0psecret", "t0psecret", "http://[t0psecret"]
)
def test_a_webhook_that_is_not_there_does_not_fail_the_run(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv(WEBHOOK, url.format(port=free_port()))
    assert not send(BAD)
    assert "did not take the message" in caplog.text
    assert "t0psecret" not in caplog.text


def test_a_taken_message_does_not_log_the_url(
    hook: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert send(GOOD)
    assert "t0psecret" not in caplog.text


def test_without_a_webhook_the_log_is_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(WEBHOOK, raising=False)
    caplog.set_level(logging.INFO)
    assert not send(BAD)
    assert "train: out of memory" in caplog.text
    assert f"No webhook is set ({WEBHOOK})" in caplog.text
