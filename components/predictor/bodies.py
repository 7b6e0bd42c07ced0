"""Bodies and headers on the ASGI level: reading a request with a limit, and sending an answer."""

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from shipway.components.predictor.limits import Limits
from shipway.components.predictor.refusals import Refusal

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BINARY_TYPE = b"application/octet-stream"
JSON_TYPES = (b"", b"application/json", b"text/json")
DRAINED = 4


def header(scope: Scope, name: bytes) -> bytes:
    """A header of the request, or b""."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def check_headers(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Refuse a body that says that it is not plain JSON in UTF-8, as 415.

    Returns:
        How many bytes of it are JSON, when the bytes of tensors come after it; None for all.
    """
    json_length = None
    opaque = False
    for name, value in headers:
        if name == b"content-type":
            if value not in JSON_TYPES:
                kind = value.lower()
                opaque = kind == BINARY_TYPE
                if not opaque:
                    _check_content_type(kind)
        elif name == b"content-encoding":
            if value.lower() not in (b"", b"identity"):
                came = value.decode("latin-1")[:60]
                raise Refusal(f"The body must not be compressed; '{came}' came.", 415)
        elif name == b"inference-header-content-length":
            json_length = _json_length(value)
    if opaque and json_length is None:
        _check_content_type(BINARY_TYPE)
    return json_length


def _json_length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 15:
        came = value.decode("latin-1")[:60]
        raise Refusal(
            "The header 'Inference-Header-Content-Length' must be the length of the JSON, a whole "
            f"number; '{came}' came."
        )
    return int(value)


def _check_content_type(value: bytes) -> None:
    kind, _, parameters = value.partition(b";")
    kind = kind.strip()
    if kind not in JSON_TYPES and not kind.endswith(b"+json"):
        came = kind.decode("latin-1")[:60]
        raise Refusal(
            f"The body must be JSON; '{came}' came. Send the header "
            "'Content-Type: application/json'.",
            415,
        )
    charset = parameters.replace(b'"', b"").partition(b"charset=")[2].split(b";")[0].strip()
    if charset not in (b"", b"utf-8", b"utf8", b"us-ascii"):
        raise Refusal(f"The body must be UTF-8; '{charset.decode('latin-1')[:60]}' came.", 415)


async def read_body(scope: Scope, receive: Receive, limit: int, limits: Limits) -> bytes:
    """The whole body of a request.

    Raises:
        Refusal: it is larger than `limit` bytes (413), or too much is being read already (503).
        ConnectionError: the client went away.
    """
    if header(scope, b"expect"):
        declared = header(scope, b"content-length")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)  # nothing was sent yet
    parts: list[bytes] = []
    size = held = 0
    more = True
    try:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client went away")
            part = message.get("body", b"")
            size += len(part)
            more = message.get("more_body", False)
            if size <= limit:
                parts.append(part)
                if more:
                    limits.hold(len(part))
                    held += len(part)
            else:  # read on for a while and forget: an early answer is lost by many clients
                parts = []
                if size > DRAINED * limit:
                    break
    finally:
        limits.release(held)
    if size > limit:
        raise _too_large(limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(
        f"The body is larger than {limit:,} bytes, the most that this server takes. "
        "Send the rows in parts.",
        413,
    )


async def reply(send: Send, status: int, content: bytes) -> None:
    """Send a JSON answer."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def with_headers(send: Send, extra: Headers) -> Send:
    """A `send` that adds headers to every answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *extra]
        await send(message)

    return sending


def one_error_shape(send: Send) -> Send:
    """A `send` that turns every error body of the application behind into `{"error": "..."}`."""
    held: dict[str, Any] = {"status": 0, "parts": []}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            held["status"] = message["status"]
            return
        if not held["status"]:
            await send(message)
            return
        held["parts"].append(message.get("body", b""))
        if not message.get("more_body", False):
            text = _error_text(held["status"], b"".join(held["parts"]))
            await reply(send, held["status"], orjson.dumps({"error": text}))

    return sending


def _error_text(status: int, content: bytes) -> str:
    if status >= 500 and status not in (501, 503):
        logger.error("The server behind answered %d: %s", status, content[:500])
        return "The server failed; its log says why."
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return content.decode("utf-8", errors="replace")[:500] or f"HTTP status {status}"
    if isinstance(value, dict):
        value = value.get("error", value.get("detail", value))
    return value if isinstance(value, str) else orjson.dumps(value).decode()[:500]
