"""A Kubernetes API over HTTP: objects in memory, server-side apply, admission, rights, faults.

What KServe's controller would do to the objects is played by controller.py.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock
from typing import Any
from urllib.parse import parse_qsl, urlparse

from tests.loopback import answering

Object = dict[str, Any]
Key = tuple[str, str, str]
PATH = re.compile(
    r"/api(?:s/(?P<group>[^/]+))?/v[^/]+/namespaces/(?P<namespace>[^/]+)/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<part>[^/]+))?)?"
)
VERBS = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "POST": "create"}


@dataclass
class Fault:
    """An answer that replaces the right one, a number of times.

    Attributes:
        method: of the requests that it meets.
        status: of the answer; 0 cuts the connection instead.
        times: how often.
        after: whether the request is carried out all the same.
        part: of the paths that it meets.
    """

    method: str
    status: int
    times: int = 1
    after: bool = False
    part: str = ""


@dataclass
class Api:
    """What the API holds and how it answers.

    Attributes:
        url: where it listens.
        objects: by plural, namespace and name.
        asked: method and path of each request.
        writes: bodies of each apply that was stored.
        denied: verb, group and resource of what we may not do.
        groups: API groups that it has.
        admit: says what is wrong with an object that is applied.
        seen: told of each object that is read or written, before the answer.
        on_write: told how many writes there were, before the answer.
        logs: by pod.
        count: of the writes.
    """

    url: str = ""
    objects: dict[Key, Object] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    writes: list[Object] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    denied: set[tuple[str, str, str]] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    logs: dict[str, str] = field(default_factory=dict)
    admit: Callable[[Object], list[str]] = lambda body: []
    seen: Callable[[Object], None] = lambda obj: None
    on_write: Callable[[int], None] = lambda count: None
    count: int = 0
    _owned: dict[Key, Object] = field(default_factory=dict)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """The status and the value of one request."""
        if path.endswith("/selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource", ""))))
            denied = (asked["verb"], asked["group"], resource) in self.denied
            return 201, body | {"status": {"allowed": not denied}}
        if re.fullmatch(r"/apis/[^/]+", path):
            return (200, {}) if path.split("/")[2] in self.groups else failure(404, "no group")
        found = PATH.fullmatch(path)
        if found is None:
            return failure(404, "the server could not find the requested resource")
        group, plural, name = found["group"] or "", found["plural"], found["name"]
        key = (plural, found["namespace"], name or "")
        verb = "list" if method == "GET" and not name else VERBS[method]
        resource = f"{plural}/{found['part']}" if found["part"] else plural
        if (verb, group, resource) in self.denied:
            who = "system:serviceaccount:team:pipeline-runner"
            return failure(403, f'{resource} is forbidden: User "{who}" cannot {verb} {resource}')
        if found["part"] == "log":
            return 200, self.logs.get(name, "")
        if verb == "list":
            return 200, {"items": self._labelled(key, query.get("labelSelector", ""))}
        return getattr(self, f"_{verb}")(key, query, body)

    def _labelled(self, key: Key, selector: str) -> list[Object]:
        name, _, value = selector.partition("=")
        return [
            obj
            for (plural, namespace, _), obj in sorted(self.objects.items())
            if (plural, namespace) == key[:2]
            and obj["metadata"].get("labels", {}).get(name) == value
        ]

    def _get(self, key: Key, query: Object, body: Any) -> tuple[int, Any]:
        if key not in self.objects:
            return failure(404, f'{key[0]} "{key[2]}" not found')
        self.seen(self.objects[key])
        return 200, self.objects[key]

    def _delete(self, key: Key, query: Object, body: Any) -> tuple[int, Any]:
        if key not in self.objects:
            return failure(404, f'{key[0]} "{key[2]}" not found')
        self._owned.pop(key, None)
        gone = self.objects.pop(key)
        self.seen(gone | {"deleted": True})
        self._written()
        return 200, gone

    def _patch(self, key: Key, query: Object, body: Any) -> tuple[int, Any]:
        """Server-side apply by one manager: what it named before and names no longer goes."""
        if query.get("fieldManager") != "shipway" or query.get("force") != "true":
            return failure(415, "only applies of shipway are understood")
        wrong = self.admit(body)
        if wrong:
            return failure(422, "; ".join(wrong))
        obj = copy.deepcopy(self.objects.get(key, {"metadata": {"generation": 0}}))
        before = json.dumps(obj.get("spec"), sort_keys=True)
        _remove(obj, self._owned.get(key, {}), body)
        _merge(obj, copy.deepcopy(body))
        obj["metadata"]["generation"] += json.dumps(obj.get("spec"), sort_keys=True) != before
        self._owned[key] = copy.deepcopy(body)
        self.objects[key] = obj
        self.writes.append(copy.deepcopy(body))
        self.seen(obj | {"applied": True})
        self._written()
        return 200, obj

    def _written(self) -> None:
        self.count += 1
        self.on_write(self.count)

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault that a request meets, one time less from now on."""
        for one in self.faults:
            if one.method == method and one.times > 0 and one.part in path:
                one.times -= 1
                return one
        return None


def _remove(obj: Object, before: Object, now: Object) -> None:
    for key, value in before.items():
        if key not in now and key in obj:
            if isinstance(value, dict) and isinstance(obj[key], dict):
                _remove(obj[key], value, {})
                if not obj[key]:
                    del obj[key]
            else:
                del obj[key]
        elif isinstance(value, dict) and isinstance(now.get(key), dict):
            _remove(obj.get(key, {}), value, now[key])


def _merge(obj: Object, body: Object) -> None:
    for key, value in body.items():
        if isinstance(value, dict) and isinstance(obj.get(key), dict):
            _merge(obj[key], value)
        else:
            obj[key] = value


def failure(code: int, message: str) -> tuple[int, Object]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "message": message}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def _serve(self) -> None:
        api, url = self.server.api, urlparse(self.path)
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = json.loads(text) if text else None
        with self.server.lock:
            api.asked.append((self.command, url.path))
            fault = api.fault(self.command, url.path)
            query = dict(parse_qsl(url.query))
            if fault is None or fault.after:
                code, value = api.answer(self.command, url.path, query, body)
            if fault is not None and fault.status:
                code, value = failure(fault.status, "the webhook says no")
        if fault is not None and not fault.status:
            self.close_connection = True
            return
        content = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(code)
        kind = "text/plain" if isinstance(value, str) else "application/json"
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(content)
            self.wfile.flush()

    do_GET = do_PATCH = do_DELETE = do_POST = _serve

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that was killed
            super().handle()


@contextmanager
def running(api: Api) -> Iterator[Api]:
    """Answer on a free port of this machine until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # the client keeps its connections
    server.block_on_close = False
    server.api, server.lock = api, RLock()
    api.url = f"http://127.0.0.1:{server.server_port}"
    with answering(server):
        yield api
