"""S3 by moto's server, over HTTP: one request at a time, and with faults of its own choosing.

moto checks a condition and then writes; without the lock, two requests could both pass the check.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.loopback import answering

ERROR = "<Error><Code>{}</Code><Message>{}</Message></Error>"


class S3:
    """A WSGI application before moto's.

    `cut` holds how many bytes of the next large requests arrive before the connection breaks;
    `lose` counts the answers to writes that get lost, after `lose_after` others; `fail` holds the
    statuses of the next answers; `refuse` maps a method to the code that it is refused with.
    """

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.lock = Lock()
        self.cut: list[int] = []
        self.fail: list[int] = []
        self.refuse: dict[str, str] = {}
        self.lose = self.lose_after = self.parts = 0
        self.hosts: set[str] = set()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, length = environ["REQUEST_METHOD"], int(environ.get("CONTENT_LENGTH") or 0)
        self.hosts.add(environ["HTTP_HOST"])
        if method in self.refuse:
            code = self.refuse[method]
            start("403 Forbidden", [("content-type", "application/xml"), ("connection", "close")])
            return [ERROR.format(code, f"{method} is refused").encode()]
        if self.fail:
            start(f"{self.fail.pop(0)} Fault", [("connection", "close")])
            return [b""]
        self.parts += "partNumber" in environ["QUERY_STRING"]
        if length > 1 << 20 and self.cut:
            environ["wsgi.input"].read(self.cut.pop(0))
            return self._hang_up(environ)
        with self.lock:
            answer = list(self.moto(environ, start))
        if method in ("PUT", "POST"):
            if self.lose_after:
                self.lose_after -= 1
            elif self.lose:
                self.lose -= 1
                return self._hang_up(environ)
        return answer

    def _hang_up(self, environ: dict[str, Any]) -> Iterable[bytes]:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        pass


@contextmanager
def running() -> Iterator[S3]:
    application = S3()
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    application.url = f"http://127.0.0.1:{server.server_port}"
    with answering(server):
        yield application
