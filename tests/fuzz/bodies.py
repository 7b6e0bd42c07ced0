"""Requests for one model, most of them broken: drawn from its columns, then mutated."""

import copy
import gzip
import json
import math
import random
import struct
from dataclasses import dataclass, field
from typing import Any

STRANGE: list[Any] = [
    None, True, False, 0, -1, 1, 3, 1.5, -0.0, 5e-324, 3.5e38, 1e308, 16_777_217, 2**53 + 1, 2**63,
    2**64, -(2**63) - 1, 10**40, math.nan, math.inf, "", " ", "12", "12.5", "1,234.5", "1e999",
    "NaN", "true", "yes", "Yes ", "é", "\0", "\ud800", "\udfff\ud800", "x" * 70, "x" * 5_000,
    "a:b\":c",
    "2024-02-30", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "2024-01-01T00:00Z",
    "FP64", "INT8", "BYTES", "BOOL", "FP16", "BF16", [], {}, [[]], [1, 2], ["x"], {"a": 1}, [None],
]  # fmt: skip
TOKENS = [
    b"NaN", b"-Infinity", b"1e400", b"-1e400", b",", b":", b"[", b"]", b"{", b"}", b'"', b"\\",
    b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b"null",
    b"true", b"01", b"1" * 400, b"[" * 2_000, b'{"a":' * 1_500, b'"fare":1,', b'"instances":[],',
    b'"name":"fare",', b'"inputs":[],', b'"parameters":{},',
]  # fmt: skip
KEYS = ["instances", "inputs", "parameters", "outputs", "id", "name", "datatype", "shape", "data"]
KEYS += ["threshold", "top_k", "explain", "top_features", "binary_data_size", "null_text", "x", ""]
JSON_TYPE = (b"content-type", b"application/json")
DATATYPES = {"number": "FP64", "string": "BYTES", "boolean": "BOOL"}


@dataclass
class Request:
    """A request; `whole` when it must be answered."""

    path: str
    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=lambda: [JSON_TYPE])
    whole: bool = False


class Requests:
    """Draws requests for a model, the same ones for the same seed."""

    def __init__(self, name: str, columns: list[tuple[str, str]], rows: list[dict], seed: int):
        self._name = name
        self._columns = columns
        self._rows = rows
        self._draw = random.Random(seed)

    def next(self) -> Request:
        draw = self._draw
        kind = draw.choice(["rows", "rows", "lists", "columns", "explain", "v2", "v2", "binary"])
        count = draw.choice([1, 1, 1, 2, 3, 20, 60])
        rows = [
            draw.choice(self._rows) for _ in range(min(count, 5) if kind == "explain" else count)
        ]
        if kind == "binary":
            return self._binary(rows)
        path, payload = self._payload(kind, rows)
        broken = draw.random() < 0.9
        for _ in range(draw.randint(1, 3) if broken and draw.random() < 0.8 else 0):
            payload = self._mutated(payload)
        ascii_alone = draw.random() < 0.7
        body = json.dumps(payload, ensure_ascii=ascii_alone).encode("utf-8", "surrogatepass")
        if draw.random() < 0.1:
            body += b" " * draw.choice([5_000, 20_000])
        if broken and draw.random() < 0.5:
            body = self._torn(body)
        return self._sent(path, body, whole=not broken)

    def _sent(self, path: str, body: bytes, whole: bool) -> Request:
        request, draw = Request(path, body, whole=whole), self._draw
        if not whole and draw.random() < 0.05:
            value = draw.choice([b"text/plain", b"application/json; charset=utf-16", b"", b"\xff"])
            value = draw.choice([value, b"multipart/form-data; boundary=x"])
            request.headers = [(b"content-type", value)]
        if not whole and draw.random() < 0.03:
            request.headers.append((b"content-encoding", draw.choice([b"gzip", b"identity", b"x"])))
        if not whole and draw.random() < 0.05:
            length = draw.choice(
                [b"0", b"10", b"-1", b"x", b"99999999999", str(len(body)).encode()]
            )
            request.headers.append((b"inference-header-content-length", length))
        return request

    def _payload(self, kind: str, rows: list[dict]) -> tuple[str, Any]:
        names = [name for name, _ in self._columns]
        v1 = f"/v1/models/{self._name}:predict"
        if kind == "v2":
            tensors = [
                {
                    "name": name,
                    "datatype": DATATYPES[dtype],
                    "shape": [len(rows)],
                    "data": [row[name] for row in rows],
                }
                for name, dtype in self._columns
            ]
            return f"/v2/models/{self._name}/infer", {"inputs": tensors}
        if kind == "columns":
            return v1, {"inputs": {name: [row[name] for row in rows] for name in names}}
        if kind == "lists":
            return v1, {"instances": [[row[name] for name in names] for row in rows]}
        path = v1.replace(":predict", ":explain") if kind == "explain" else v1
        payload: dict[str, Any] = {"instances": [dict(row) for row in rows]}
        if self._draw.random() < 0.2:
            payload["parameters"] = {"explain": False, "top_k": 1, "top_features": 2}
        return path, payload

    def _mutated(self, payload: Any) -> Any:
        draw = self._draw
        places = list(_places(payload))
        if not places:
            return draw.choice(STRANGE)
        holder, key = draw.choice(places)
        change = draw.randrange(6)
        if change <= 1:
            holder[key] = copy.deepcopy(draw.choice(STRANGE))
        elif change == 2:
            del holder[key]
        elif change == 3:
            other, other_key = draw.choice(places)
            holder[key] = copy.deepcopy(other[other_key])
        elif isinstance(holder, dict):
            holder[draw.choice(KEYS)] = copy.deepcopy(draw.choice(STRANGE))
        else:
            holder.insert(key, copy.deepcopy(draw.choice([*STRANGE, holder[key]])))
        return payload

    def _torn(self, body: bytes) -> bytes:
        draw = self._draw
        at, change = draw.randrange(len(body) + 1), draw.randrange(12)
        if change <= 5:
            return body[:at] + draw.choice(TOKENS) + body[at:]
        if change <= 7:
            return body[:at] + body[at + draw.randint(1, 9) :]
        if change == 8:
            return body[:at]
        if change == 9:
            return body[:at] + draw.randbytes(draw.randint(1, 8)) + body[at + 1 :]
        if change == 10:
            return draw.choice([b"", b" \n", draw.randbytes(40), b"\xef\xbb\xbf" + body])
        text = body.decode("utf-8", "replace")
        return draw.choice([gzip.compress(body, 1), text.encode("utf-16"), b"--x\r\n" + body])

    def _binary(self, rows: list[dict]) -> Request:
        draw, path = self._draw, f"/v2/models/{self._name}/infer"
        rows = [row for row in rows if None not in row.values()] or [
            next(row for row in self._rows if None not in row.values())
        ]
        tensors, parts = [], []
        for name, dtype in self._columns:
            parts.append(_as_bytes([row[name] for row in rows], dtype))
            about = {"binary_data_size": len(parts[-1])}
            described = {"name": name, "datatype": DATATYPES[dtype], "shape": [len(rows)]}
            tensors.append(described | {"parameters": about})
        payload: Any = {"inputs": tensors}
        broken, tail = draw.random() < 0.9, b"".join(parts)
        for _ in range(draw.randint(1, 2) if broken and draw.random() < 0.6 else 0):
            payload = self._mutated(payload)
        head = json.dumps(payload).encode()
        length = len(head)
        if broken and draw.random() < 0.6:
            at = draw.randrange(len(tail) + 1)
            tail = draw.choice(
                [tail[:at], tail + b"\0", tail[:at] + draw.randbytes(5) + tail[at + 5 :]]
            )
        if broken and draw.random() < 0.1:
            length += draw.choice([-1, 1, 50])
        headers = [(b"inference-header-content-length", str(length).encode())]
        return Request(path, head + tail, headers, whole=not broken)


def _as_bytes(cells: list[Any], dtype: str) -> bytes:
    if dtype == "number":
        return struct.pack(f"<{len(cells)}d", *cells)
    if dtype == "boolean":
        return bytes(cells)
    texts = [cell.encode() for cell in cells]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _places(value: Any) -> Any:
    """Every place in a JSON value that holds another, as a container and a key."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
