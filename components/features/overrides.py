"""The file of overrides, `features.yaml`: what columns are, where a person knows it better.

columns:
  zip: {kind: category}                    # of text, or of whole numbers
  size: {kind: ordered, order: [S, M, L]}  # no order where it is plain, as of low, medium, high
  seen: {kind: date, parts: [month, hour.sin, hour.cos], reference: booked}
  start: {kind: clock, parts: [minutes, sin, cos]}
  note: {kind: text, buckets: 64}
  latitude: {kind: coordinates, longitude: longitude}
  room: {kind: drop}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shipway.components.lib.encoders import CLOCK_PARTS, DATE_PARTS
from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.settings_file import check_keys, read_settings
from shipway.components.lib.stated import Asked
from shipway.components.lib.words import parse_moment

KEYS: dict[str, tuple[str, ...]] = {
    "number": (),
    "category": (),
    "ordered": ("order",),
    "date": ("parts", "reference"),
    "duration": (),
    "clock": ("parts",),
    "text": ("buckets",),
    "coordinates": ("longitude",),
    "drop": (),
}
PARTS = {"date": DATE_PARTS, "clock": CLOCK_PARTS}
BUCKETS = 64
MOST_BUCKETS = 4_096


def read_overrides(uri: str, columns: Sequence[str], used: Mapping[str, str]) -> dict[str, Asked]:
    """Read what is asked of columns; nothing where the parameter is empty.

    Args:
        uri: a path or URI of one YAML file, or its text.
        columns: of the table.
        used: what the run takes columns for otherwise: "the label", ..., by name.

    Raises:
        ConfigurationError: a column, a kind, a key or a value is not known.
        DataError: the file cannot be read.
    """
    value = read_settings("features_uri", uri, ("columns",)).get("columns") or {}
    if not isinstance(value, Mapping):
        raise ConfigurationError("features_uri: 'columns' is a mapping of columns by name.")
    for name in value:
        _check_column(str(name), columns, used)
    free = [name for name in columns if name not in used]
    return {str(name): _asked(str(name), wish, free) for name, wish in value.items()}


def _check_column(name: str, columns: Sequence[str], used: Mapping[str, str]) -> None:
    if name not in columns:
        raise ConfigurationError(
            f"features_uri names the column '{name}', which the training rows do not have."
            f"{nearest(name, columns)} Name one that they have, or take it out of the file."
        )
    if name in used:
        raise ConfigurationError(
            f"features_uri names the column '{name}', which is {used[name]} and no feature. "
            "Take it out of the file."
        )


def _asked(name: str, wish: Any, columns: Sequence[str]) -> Asked:
    where = f"features_uri: column '{name}'"
    kind = wish.get("kind") if isinstance(wish, Mapping) else None
    if not isinstance(kind, str) or kind not in KEYS:
        told = "names no kind" if kind is None else f"has the kind {kind!r}"
        hint = nearest(str(kind), KEYS) if kind is not None else ""
        raise ConfigurationError(
            f"{where} {told}.{hint} Write 'kind:' with one of {', '.join(KEYS)}."
        )
    check_keys(where, wish, ("kind", *KEYS[kind]))
    asked = Asked(
        kind,
        order=_texts(where, "order", wish.get("order", [])),
        buckets=_buckets(where, wish.get("buckets", BUCKETS)),
        parts=_texts(where, "parts", wish.get("parts", [])),
        reference=str(wish.get("reference") or ""),
        longitude=str(wish.get("longitude") or ""),
    )
    for part in asked.parts:
        if part not in PARTS[kind]:
            raise ConfigurationError(
                f"{where} asks for the part '{part}'.{nearest(part, PARTS[kind])} A {kind} has "
                f"{', '.join(PARTS[kind])}."
            )
    other = asked.longitude or asked.reference
    if kind == "coordinates" and not other:
        raise ConfigurationError(f"{where} lacks 'longitude', the column beside the latitude.")
    if other and (other == name or other not in columns) and parse_moment(other) is None:
        raise ConfigurationError(
            f"{where} refers to '{other}', which is no other column that could be a feature."
            f"{nearest(other, columns)}"
            + (" A reference may also be a day, such as 2024-01-31." if asked.reference else "")
        )
    return asked


def _texts(where: str, key: str, value: Any) -> tuple[str, ...]:
    wrong = not isinstance(value, list) or any(type(item) not in (str, int) for item in value)
    texts = [] if wrong else [str(item).strip() for item in value]
    if wrong or len(set(texts)) < len(texts):
        raise ConfigurationError(
            f"{where}: {key} is {value!r}; it is a list of different texts or whole numbers. Words "
            "such as yes, no and on need quotes in YAML."
        )
    return tuple(texts)


def _buckets(where: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MOST_BUCKETS:
        raise ConfigurationError(
            f"{where}: buckets is {value!r}; it is a whole number from 1 to {MOST_BUCKETS:,}."
        )
    return value
