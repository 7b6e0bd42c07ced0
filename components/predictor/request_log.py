"""Log lines: of the server itself, and of some of the requests, as JSON or as text."""

import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import orjson

if TYPE_CHECKING:
    from shipway.components.predictor.observing import Exchange

MAX_PATH = 200
TEXT = "%(asctime)s %(levelname)s %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record, a stack trace within it."""
        line = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def set_up(log_format: str) -> None:
    """Have all log lines of this process go to standard error.

    Args:
        log_format: "json" or "text".
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    for noisy in ("kserve", "kserve.trace"):  # three lines and a stack trace for each request
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # Else uvicorn makes a line for every request, to throw it away.
    logging.getLogger("uvicorn.access").propagate = False


class RequestLog:
    """Writes a line for a request.

    Attributes:
        share: of the requests that get a line; failures of the server always do.
    """

    def __init__(self, share: float, log_format: str, stream: TextIO | None = None) -> None:
        """Write to a stream, standard error by default."""
        self.share = share
        self._json = log_format == "json"
        self._stream = stream or sys.stderr

    def write(self, exchange: "Exchange", ended: float) -> None:
        """Write the line of a request that is over."""
        scope, question = exchange.scope, exchange.question
        line = {
            "time": _moment(datetime.now(UTC).timestamp()),
            "level": "error" if exchange.status >= 500 else "info",
            "message": "request",
            "request_id": exchange.request_id.decode("ascii"),
            "method": scope["method"],
            "path": scope["path"][:MAX_PATH],
            "status": exchange.status,
            "rows": 0 if question is None else question.rows,
            "seconds": round(ended - exchange.began, 6),
            "bytes_in": len(exchange.body),
            "bytes_out": exchange.sent,
            "cause": exchange.cause,
            "trace_id": exchange.trace_id or trace_of(scope["headers"]),
        }
        if self._json:
            text = orjson.dumps(line).decode()
        else:
            time, level, message = (line.pop(name) for name in ("time", "level", "message"))
            shown = " ".join(f"{name}={value!r}" for name, value in line.items() if value != "")
            text = f"{time} {str(level).upper()} {message} {shown}"
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads the log any more; that is no reason to fail a request


def trace_of(headers: list[tuple[bytes, bytes]]) -> str:
    """The trace that a request is part of, by its W3C `traceparent`; or ""."""
    for name, value in headers:
        if name == b"traceparent":
            parts = value.split(b"-")
            if len(parts) >= 4 and len(parts[1]) == 32 and parts[1].isalnum():
                return parts[1].decode("ascii")
    return ""


def _moment(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
