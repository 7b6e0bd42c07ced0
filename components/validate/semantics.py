"""What a column means, guessed from its name, its type and its values: kept in the schema."""

import re
from typing import Any

from shipway.components.lib.kinds import FREE_TEXT_WORDS, PARSED_SHARE
from shipway.components.lib.words import parse_moment
from shipway.components.validate.facts import ColumnFacts

IDENTIFIER_SHARE = {"text": 0.95, "integer": 0.99}
IDENTIFIER_ROWS = 50
MAX_DOMAIN = 100
REPEATS = 5
LATITUDE, LONGITUDE = (-90.0, 90.0), (-180.0, 180.0)

_LATITUDE = re.compile(r"(^|_)lat(itude)?($|_)")
_LONGITUDE = re.compile(r"(^|_)(lon|lng|long|longitude)($|_)")
_MONEY = re.compile(
    r"(^|_)(fare|price|cost|amount|fee|tip|tips|toll|tolls|revenue|salary|income|wage|charge|"
    r"charges|payment|balance|budget|usd|eur|gbp|chf)($|_)"
)


def coordinate_range(fact: ColumnFacts) -> tuple[float, float] | None:
    """The range of a latitude or a longitude; None for a column that is neither."""
    if fact.kind != "number" or fact.minimum is None or fact.maximum is None:
        return None
    name = _snake(fact.name)
    for pattern, (low, high) in ((_LATITUDE, LATITUDE), (_LONGITUDE, LONGITUDE)):
        if pattern.search(name) and low <= fact.minimum and fact.maximum <= high:
            return low, high
    return None


def is_identifier(fact: ColumnFacts) -> bool:
    """Whether nearly every row has a value of its own."""
    limit = IDENTIFIER_SHARE.get(fact.kind)
    if limit is None or fact.distinct is None or fact.present < IDENTIFIER_ROWS:
        return False
    return fact.distinct / fact.present >= limit


def semantic_kind(fact: ColumnFacts, feature: Any) -> str:
    """One of `schema_file.KINDS`, or an empty string for a plain number or text.

    Args:
        fact: of the column.
        feature: TFDV's statistics of it, or None when it was not measured.
    """
    if not fact.present:
        return ""
    if fact.kind in ("date", "time"):
        return "date"
    if fact.kind == "true/false":
        return "category"
    if fact.kind in ("number", "decimal", "integer"):
        if coordinate_range(fact):
            return "coordinates"
        if _MONEY.search(_snake(fact.name)):
            return "money"
        return "identifier" if is_identifier(fact) else ""
    return _kind_of_text(fact, feature) if fact.kind == "text" else ""


def _kind_of_text(fact: ColumnFacts, feature: Any) -> str:
    stats = feature.string_stats if feature is not None else None
    # The labels of the rank histogram are as many of the distinct values as TFDV keeps.
    values = [bucket.label for bucket in stats.rank_histogram.buckets] if stats else []
    if not values or fact.distinct is None:
        return ""
    if sum(parse_moment(value) is not None for value in values) >= PARSED_SHARE * len(values):
        return "date"
    words = sum(len(value.split()) for value in values) / len(values)
    if words > FREE_TEXT_WORDS and fact.distinct > 0.5 * fact.present:
        return "free text"
    if is_identifier(fact):
        return "identifier"
    few = fact.distinct <= MAX_DOMAIN and fact.present >= REPEATS * fact.distinct
    return "category" if few else ""


def _snake(name: str) -> str:
    """`pickupLatitude` and `Pickup Latitude` as `pickup_latitude`."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower())
