"""InferenceServices of a Kubernetes API over HTTP, kept in memory; their statuses are played."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlparse

URL = "http://taxi.team.svc.cluster.local/"
READY = {
    "address": {"url": URL},
    "conditions": [{"type": "Ready", "status": "True"}],
    "modelStatus": {"transitionStatus": "UpToDate"},
}
LOADING = {
    "conditions": [{"type": "Ready", "status": "False", "message": "pulling the image"}],
    "modelStatus": {"transitionStatus": "InProgress"},
}
# In Standard mode the object stays ready while a rolling update goes on.
ROLLING = READY | {"modelStatus": {"transitionStatus": "InProgress"}}
BROKEN = {
    "conditions": [{"type": "Ready", "status": "False"}],
    "modelStatus": {
        "transitionStatus": "BlockedByFailedLoad",
        "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "model.ubj: SHA-256 differs"},
    },
}


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    kind: str
    body: Any


@dataclass
class Api:
    """What the API holds, was asked, and plays.

    Attributes:
        statuses: of each later answer to GET once something was applied; the last one stays.
        refusals: status and message by method, for all requests of it.
    """

    url: str = ""
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=lambda: [READY])
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    applied: bool = False

    def methods(self) -> str:
        return " ".join(one.method for one in self.asked)

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        self.asked.append(asked)
        if asked.method in self.refusals:
            return failure(*self.refusals[asked.method])
        name = asked.path.rsplit("/", 1)[1]
        if asked.method == "PATCH":
            if asked.kind != "application/apply-patch+yaml" or "fieldManager" not in asked.query:
                return failure(415, "no apply")
            self.objects[name] = asked.body
            self.applied = True
            return 200, asked.body
        if name not in self.objects:
            return failure(404, f'inferenceservices "{name}" not found')
        if asked.method == "DELETE":
            return 200, self.objects.pop(name)
        if not self.applied:
            return 200, self.objects[name]
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return 200, self.objects[name] | {"status": status}


def failure(code: int, message: str) -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "message": message}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        url = urlparse(self.path)
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        kind = self.headers.get("content-type", "")
        query = dict(parse_qsl(url.query))
        asked = Asked(self.command, url.path, query, kind, json.loads(text) if text else None)
        known = "/apis/serving.kserve.io/v1beta1/namespaces/[^/]+/inferenceservices/[^/]+"
        found = re.fullmatch(known, url.path)
        code, value = self.server.api.answer(asked) if found else failure(404, "no such path")
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PATCH = do_DELETE = do_POST = do_PUT = _serve

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Api]:
    """Answer on a free port of this machine until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # the client keeps its connections
    server.block_on_close = False
    server.api = Api(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
