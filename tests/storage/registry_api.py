"""MLflow's and the Kubeflow Model Registry's REST APIs as far as a hand-over goes, with faults.

The real servers answer the same in test_registries.py where they run.
"""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

from tests.loopback import answering

MLFLOW, KUBEFLOW = "/api/2.0/mlflow/", "/api/model_registry/v1alpha3/"


class Registry(ThreadingHTTPServer):
    """What was registered; `fail` holds the next statuses, `lose` whose answers get lost."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.models: set[str] = set()
        self.versions: list[dict[str, Any]] = []
        self.kept: list[dict[str, Any]] = []
        self.fail: list[int] = []
        self.lose: list[bool] = []
        self.page, self.authorization = b"", ""


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        query = {k: v[0] for k, v in parse_qs(urlparse(self.path).query).items()}
        if self.path.startswith(MLFLOW):
            digest = re.search(r"shipway.digest` = '(\w+)'", query["filter"])[1]
            tag = {"key": "shipway.digest", "value": digest}
            self._answer(
                200, {"model_versions": [v for v in self.server.versions if tag in v["tags"]]}
            )
        elif self.path.endswith("/artifacts"):
            items = [one for one in self.server.kept if one["kind"] == self.path]
            self._answer(200, {"items": items})
        else:
            kind = urlparse(self.path).path.removeprefix(KUBEFLOW)
            parent = query.get("parentResourceId")
            found = [
                one
                for one in self.server.kept
                if (one["kind"], one["name"]) == (f"{kind}s", query["name"])
                and one.get("registeredModelId") == parent
            ]
            self._answer(200 if found else 404, found[0] if found else {"code": "Not Found"})

    def do_POST(self) -> None:
        value = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.fail:
            return self._answer(self.server.fail.pop(0), {"message": "not now"})
        if self.path == MLFLOW + "registered-models/create":
            if value["name"] in self.server.models:
                return self._answer(400, {"error_code": "RESOURCE_ALREADY_EXISTS"})
            self.server.models.add(value["name"])
        elif self.path.startswith(MLFLOW):
            self.server.versions.append(value)
        else:
            kind = (
                self.path if self.path.endswith("/artifacts") else self.path.removeprefix(KUBEFLOW)
            )
            value |= {"kind": kind, "id": str(len(self.server.kept) + 1)}
            self.server.kept.append(value)
        if self.server.lose and self.server.lose.pop(0):
            return self.connection.shutdown(socket.SHUT_RDWR)
        self._answer(200, value)

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        self.server.authorization = self.headers.get("authorization", "")
        body = self.server.page or json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Registry]:
    server = Registry()
    with answering(server):
        yield server
