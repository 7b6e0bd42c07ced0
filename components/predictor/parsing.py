"""JSON bodies: read once, or refused with the reason."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import simdjson

from shipway.components.predictor.duplicates import refuse_twins
from shipway.components.predictor.refusals import Refusal

T = TypeVar("T")

# From so many bytes on, numbers are taken from the text without making Python's own of them.
LONG_BODY = 4_096


def parsed(body: bytes) -> Any:
    """The value that a body holds.

    Raises:
        Refusal: it is empty, not UTF-8, or not JSON; NaN and infinity are not. Or a key comes
            twice in an object.
    """
    if not body.strip():
        raise Refusal("The body is empty; send JSON.", cause="malformed")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = " NaN and infinity are no JSON; send null." if b"NaN" in body else ""
        raise Refusal(f"The body is not JSON: {error}.{hint}", cause="malformed") from None
    refuse_twins(body, value)
    return value


class LongBodies:
    """Takes numbers from long bodies without making Python's own of them."""

    def __init__(self) -> None:
        """Each thread keeps a parser, as one allocates much."""
        self._local = threading.local()

    def read(self, body: bytes, make: Callable[[Any], T]) -> T | None:
        """Parse a body and make something of the document.

        Args:
            body: JSON.
            make: must not keep any part of the document.

        Returns:
            What was made; None where it could not, for the careful way to say why.
        """
        parser = getattr(self._local, "parser", None) or simdjson.Parser()
        # A parser cannot be used again while parts of its last document are held: an error may.
        self._local.parser = None
        try:
            document: Any = parser.parse(body)
            made = make(document)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError):
            return None
        del document
        self._local.parser = parser
        return made
