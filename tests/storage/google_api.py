"""Google's JSON API for objects: preconditions, resumable uploads and checksums, and their faults.

Written after https://cloud.google.com/storage/docs/json_api and .../performing-resumable-uploads.
"""

import base64
import hashlib
import json
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import google_crc32c

from tests.loopback import answering

KEPT = 256 << 10  # the server keeps an unfinished upload in multiples of this


class Answer(Exception):
    """Ends a request with a status, a body and headers."""


class Cut(Exception):
    """Ends a request without an answer."""


class Google(ThreadingHTTPServer):
    """Buckets of objects, each its resource and its content.

    `cut` holds how many bytes of the next chunks arrive before the connection breaks; `lose` counts
    the answers to uploads that get lost, after `lose_after` others; `fail` holds the statuses of
    the next answers; `readonly` refuses to create; `refuse` is a status for everything.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Objects)
        self.lock, self.generation = RLock(), 0
        self.buckets: dict[str, dict[str, tuple[dict[str, Any], bytes]]] = {"models": {}}
        self.sessions: dict[str, tuple[str, dict[str, Any], dict[str, str], bytearray]] = {}
        self.cut: list[int] = []
        self.lose = self.lose_after = self.chunks = self.received = self.refuse = 0
        self.fail: list[int] = []
        self.readonly, self.damage, self.checksums = False, False, True
        self.url = f"http://127.0.0.1:{self.server_port}"

    def put(self, bucket: str, resource: dict[str, Any], content: bytes, query: dict) -> dict:
        """Keep an object if its preconditions hold and its checksum is right."""
        with self.lock:
            objects, name = self.buckets[bucket], resource["name"]
            standing = objects[name][0]["generation"] if name in objects else "0"
            if query.get("ifGenerationMatch", standing) != standing:
                raise Answer(412, error("At least one of the pre-conditions you specified failed."))
            if resource.get("crc32c", crc32c(content)) != crc32c(content):
                raise Answer(400, error("Provided CRC32C does not match calculated CRC32C."))
            self.generation += 1
            content = content[:-1] + b"?" if self.damage and name.endswith(".ubj") else content
            resource = resource | {
                "bucket": bucket,
                "generation": str(self.generation),
                "size": str(len(content)),
            }
            if not self.checksums:
                resource.pop("crc32c", None)
            else:
                md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
                resource |= {"crc32c": crc32c(content), "md5Hash": md5}
            objects[name] = resource, content
            return resource


def crc32c(content: bytes) -> str:
    return base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


class Objects(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: Google

    def do_GET(self) -> None:
        self._serve(self._get)

    def do_POST(self) -> None:
        self._serve(self._post)

    def do_PUT(self) -> None:
        self._serve(self._chunk)

    def do_DELETE(self) -> None:
        self._serve(self._delete)

    def _serve(self, method: Any) -> None:
        url = urlparse(self.path)
        self.query = {k: v[0] for k, v in parse_qs(url.query).items()}
        found = re.fullmatch(r"(?:/upload|/download)?/storage/v1/b/([^/]+)/?o?/?(.*)", url.path)
        self.bucket, self.name = found[1], unquote(found[2])
        try:
            if self.server.refuse:
                raise Answer(self.server.refuse, error("Invalid Credentials"))
            if self.server.fail:
                raise Answer(self.server.fail.pop(0), error("Backend Error"))
            if self.bucket not in self.server.buckets:
                raise Answer(404, error("The specified bucket does not exist."))
            with self.server.lock:
                method()
        except Answer as answer:
            self._answer(*answer.args)
        except Cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _get(self) -> None:
        objects = self.server.buckets[self.bucket]
        if not self.name:
            names = sorted(n for n in objects if n.startswith(self.query.get("prefix", "")))
            raise Answer(200, {"items": [objects[n][0] for n in names]})
        resource, content = objects.get(self.name, ({}, b""))
        if not resource or self.query.get("generation", "") not in ("", resource["generation"]):
            raise Answer(404, error(f"No such object: {self.bucket}/{self.name}"))
        if self.query.get("alt") != "media":
            raise Answer(200, resource)
        hashes = {"X-Goog-Hash": f"crc32c={resource['crc32c']}"} if "crc32c" in resource else {}
        start = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        raise Answer(206 if start else 200, content[int(start[1]) if start else 0 :], hashes)

    def _delete(self) -> None:
        if self.server.buckets[self.bucket].pop(self.name, None) is None:
            raise Answer(404, error(f"No such object: {self.bucket}/{self.name}"))
        raise Answer(204, b"")

    def _post(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.readonly:
            account = "run@project.iam.gserviceaccount.com does not have storage.objects.create"
            raise Answer(403, error(f"{account} access to the Google Cloud Storage object."))
        if self.query["uploadType"] == "resumable":
            resource = json.loads(body) if body else {}
            resource.setdefault("name", self.query.get("name"))
            key = secrets.token_hex(8)
            self.server.sessions[key] = self.bucket, resource, self.query, bytearray()
            path = f"{self.server.url}/upload/storage/v1/b/{self.bucket}/o"
            raise Answer(200, b"", {"Location": f"{path}?uploadType=resumable&upload_id={key}"})
        boundary = re.search('boundary="?([^";]+)', self.headers["content-type"])[1].encode()
        _, head, rest = body.split(b"--" + boundary, 2)
        data = rest.rsplit(b"--" + boundary, 1)[0]
        resource = json.loads(head.split(b"\r\n\r\n", 1)[1])
        resource.setdefault("name", self.query.get("name"))
        content = data.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
        self._kept(self.server.put(self.bucket, resource, content, self.query))

    def _chunk(self) -> None:
        """A part of a resumable upload; what came twice is passed over."""
        length = int(self.headers["content-length"])
        first, last, total = re.fullmatch(
            r"bytes (\d+)-(\d+)/(\d+|\*)", self.headers["content-range"]
        ).groups()
        self.server.chunks += 1
        arriving = min(self.server.cut.pop(0), length) if self.server.cut else length
        body = self.rfile.read(arriving)
        self.server.received += arriving
        if self.query["upload_id"] not in self.server.sessions:
            raise Answer(410, error("The upload session is gone."))
        bucket, resource, query, kept = self.server.sessions[self.query["upload_id"]]
        if int(first) > len(kept):
            raise Answer(400, error(f"Bytes are missing from {len(kept)} on."))
        kept += body[len(kept) - int(first) :]
        if arriving < length:
            del kept[len(kept) // KEPT * KEPT :]
            raise Cut
        if total == "*" or int(last) + 1 < int(total):
            raise Answer(308, b"", {"Range": f"bytes=0-{len(kept) - 1}"})
        self._kept(self.server.put(bucket, resource, bytes(kept), query))

    def _kept(self, resource: dict[str, Any]) -> None:
        if self.server.lose_after:
            self.server.lose_after -= 1
        elif self.server.lose:
            self.server.lose -= 1
            raise Cut
        raise Answer(200, resource)

    def _answer(self, status: int, body: dict | bytes, headers: dict = {}) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Google]:
    server = Google()
    with answering(server):
        yield server
