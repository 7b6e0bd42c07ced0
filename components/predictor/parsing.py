"""JSON bodies: read once, or refused with the reason."""

from typing import Any

import orjson

from shipway.components.predictor.refusals import Refusal


def parsed(body: bytes) -> Any:
    """The value that a body holds.

    Raises:
        Refusal: it is empty, not UTF-8, or not JSON; NaN and infinity are not.
    """
    if not body.strip():
        raise Refusal("The body is empty; send JSON.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = " NaN and infinity are no JSON; send null." if b"NaN" in body else ""
        raise Refusal(f"The body is not JSON: {error}.{hint}") from None
