"""Bodies and headers on the ASGI level: reading a request with a limit, and sending an answer."""

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from shipway.components.predictor.refusals import Refusal

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON_TYPES = (b"", b"application/json", b"text/json")
DRAINED = 4


def header(scope: Scope, name: bytes) -> bytes:
    """A header of the request, or b""."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def check_headers(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a body that says that it is not plain JSON in UTF-8, as 415."""
    for name, value in headers:
        if name == b"content-type":
            if value not in JSON_TYPES:
                _check_content_type(value.lower())
        elif name == b"content-encoding":
            if value.lower() not in (b"", b"identity"):
                came = value.decode("latin-1")[:60]
                raise Refusal(f"The body must not be compressed; '{came}' came.", 415)
        elif name == b"inference-header-content-length":
            raise Refusal("This server takes JSON tensors, not binary ones; send 'data'.", 415)


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


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body of a request.

    Raises:
        Refusal: it is larger than `limit` bytes (413).
        ConnectionError: the client went away.
    """
    declared = header(scope, b"content-length")
    expects = header(scope, b"expect").lower() == b"100-continue"
    if declared.isdigit() and int(declared) > limit and expects:
        raise _too_large(limit)  # nothing was sent yet
    parts, size = [], 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client went away")
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        else:  # read on for a while and forget: an early answer is lost by many clients
            parts = []
            if size > DRAINED * limit:
                break
        more = message.get("more_body", False)
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
