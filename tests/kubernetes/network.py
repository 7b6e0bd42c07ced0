"""The cluster's network: an HTTP proxy that routes a host as the objects in the API say.

A model server behind it is a real one, or answers golden rows with chosen defects.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlparse

import httpx

from tests.loopback import answering

Object = dict[str, Any]


@dataclass
class Server:
    """What stands behind a storage URI.

    Attributes:
        digest: of the model that it says it is.
        outputs: what its golden rows get, by the row's "x".
        shift: added to each value.
        status: of each answer.
        url: of a real server that answers instead.
    """

    digest: str
    outputs: dict[float, float] = field(default_factory=dict)
    shift: float = 0.0
    status: int = 200
    url: str = ""

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if not path.endswith((":predict", "/infer")):
            return self.status, {}
        value = json.loads(body)
        columns = {t["name"]: t["data"] for t in value.get("inputs", [])}
        rows = value.get("instances") or [{"x": x} for x in columns["x"]]
        if any(isinstance(row["x"], list) for row in rows):
            return 400, {"error": "column 'x' must be a number"}
        values = [self.outputs[row["x"]] + self.shift for row in rows]
        if path.endswith(":predict"):
            return self.status, {"predictions": [{"value": v} for v in values]}
        return self.status, {"outputs": [{"name": "value", "data": values}]}


@dataclass
class Network:
    """Routes hosts to servers.

    Attributes:
        controller: plays the objects that say where a host leads.
        servers: by storage URI.
        seen: host and digest of each request.
    """

    controller: Any
    servers: dict[str, Server] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    _turn: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(0, 100, 7)))

    def server(self, host: str) -> Server | None:
        """The server that a host leads to now."""
        service, namespace = host.split(".")[:2]
        objects = self.controller.api.objects
        for (plural, place, name), isvc in list(objects.items()):
            if plural == "inferenceservices" and place == namespace:
                uri = self._uri(isvc, name, service)
                if uri:
                    return self.servers.get(uri)
        return None

    def _uri(self, isvc: Object, name: str, service: str) -> str:
        status = isvc.get("status", {})
        if status.get("deploymentMode") != "Knative":
            return str(self.controller.serving.get(service, ""))
        traffic = status["components"]["predictor"].get("traffic", [])
        if service == f"latest-{name}-predictor":
            tagged = [one for one in traffic if one.get("tag") == "latest"]
            return self.controller._uri_of(isvc, tagged[0]["revisionName"]) if tagged else ""
        turn = next(self._turn)
        for one in traffic if service == name else []:
            turn -= one["percent"]
            if turn < 0:
                return str(self.controller._uri_of(isvc, one["revisionName"]))
        return ""


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def _serve(self) -> None:
        network, url = self.server.network, urlparse(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        server = network.server(str(url.hostname))
        digest, kind = "", "application/json"
        if server is None:
            status, content = 503, b"no healthy upstream"
        elif server.url:
            answer = httpx.request(
                self.command,
                server.url + url.path,
                content=body,
                headers={"content-type": kind},
                trust_env=False,
            )
            status, content = answer.status_code, answer.content
            digest = answer.headers["x-shipway-model-digest"]
        else:
            status, value = server.answer(url.path, body)
            content, digest = json.dumps(value).encode(), server.digest
        network.seen.append((str(url.hostname), digest))
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("x-shipway-model-digest", digest)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _serve

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(network: Network) -> Iterator[Network]:
    """Route on a free port of this machine until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    server.block_on_close = False
    server.network = network
    network.url = f"http://127.0.0.1:{server.server_port}"
    with answering(server):
        yield network
