"""A key that comes twice in one JSON object: parsers keep the last and say nothing."""

import json
from typing import Any

from shipway.components.predictor.refusals import Refusal

SPACED = (b" :", b"\n:", b"\t:", b"\r:")


def refuse_twins(body: bytes, value: Any) -> None:
    """Refuse a body with a key that comes twice in one object.

    Every key has its colon, so when the body has as many colons as the value has keys, none was
    lost. Colons in texts cost a closer look, and only what is still in doubt is parsed again.

    Args:
        body: JSON.
        value: what a parser made of it.

    Raises:
        Refusal: a key comes twice.
    """
    keys = _keys(value)
    if body.count(b":") == keys:
        return
    if body.count(b'":') == keys and not any(space in body for space in SPACED):
        return
    try:
        json.loads(body, object_pairs_hook=_object, parse_int=float)
    except RecursionError:
        raise Refusal(
            "The body is nested too deeply; it needs four levels at most.", cause="malformed"
        ) from None


def _keys(value: Any) -> int:
    """The keys of a request; fewer where it holds more than requests do."""
    if type(value) is not dict:
        return 0
    count = len(value)
    for inner in value.values():
        if type(inner) is dict:
            count += len(inner)
        elif type(inner) is list and inner and type(inner[0]) is dict:
            if len(inner) > 1 and set(map(type, inner)) != {dict}:
                continue
            count += sum(map(len, inner))
            if type(inner[0].get("parameters")) is dict:
                count += sum(len(item["parameters"]) for item in inner if _has_more(item))
    return count


def _has_more(item: dict[str, Any]) -> bool:
    return type(item.get("parameters")) is dict


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twin = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Refusal(
            f"The key '{twin[:60]}' comes twice in one object; send it once.", cause="duplicate"
        )
    return made
