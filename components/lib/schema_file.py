"""What every step may read of a schema file without TFDV: who reviewed it, and what columns are.

The mark of a review is a comment on the first line, with the SHA-256 of all that follows: a later
edit, however small, takes the mark's worth away. A column's kind stands in its annotation.
"""

import datetime
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from shipway.components.lib.errors import ConfigurationError

MARK = "# shipway-review: "
TAG = "shipway.kind="
KINDS = ("identifier", "category", "free text", "date", "money", "coordinates")


@dataclass(frozen=True)
class Review:
    """Who looked at a schema, and whether it is still what they saw.

    Attributes:
        by: their name.
        at: when, ISO 8601 in UTC.
        valid: whether nothing was changed since.
    """

    by: str
    at: str
    valid: bool


def unmarked(text: str) -> str:
    """A schema's text without the mark of a review."""
    return text.partition("\n")[2] if text.startswith(MARK) else text


def marked(text: str, by: str) -> str:
    """A schema's text with the mark of a review of today.

    Raises:
        ConfigurationError: the name is blank.
    """
    name = " ".join(by.split())
    if not name:
        raise ConfigurationError("--by is blank; say who reviewed the schema.")
    body = unmarked(text)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    mark = {"by": name, "at": now, "sha256": _digest(body)}
    return f"{MARK}{json.dumps(mark)}\n{body}"


def review_of(text: str) -> Review | None:
    """The mark of a schema's text; None where there is none that can be read."""
    if not text.startswith(MARK):
        return None
    try:
        mark = json.loads(text.partition("\n")[0].removeprefix(MARK))
        return Review(str(mark["by"]), str(mark["at"]), mark["sha256"] == _digest(unmarked(text)))
    except (ValueError, KeyError, TypeError):
        return None


def reviewed_kinds(text: str) -> dict[str, str]:
    """Kinds of columns by name, of a schema whose review holds; empty for any other.

    Raises:
        ConfigurationError: the text is not a schema, or a kind is not known.
    """
    review = review_of(text)
    return kinds_of(text) if review is not None and review.valid else {}


def kinds_of(text: str) -> dict[str, str]:
    """Kinds of columns by name, as a schema's annotations say.

    Raises:
        ConfigurationError: the text is not a schema, or a kind is not known.
    """
    from google.protobuf import text_format

    schema = _message()()
    try:
        text_format.Parse(text, schema, allow_unknown_field=True)
    except text_format.ParseError as error:
        raise ConfigurationError(f"This is not a TFDV schema in text form: {error}") from error
    kinds = {}
    for feature in schema.feature:
        for tag in feature.annotation.tag:
            if tag.startswith(TAG):
                kinds[feature.name] = known_kind(feature.name, tag.removeprefix(TAG))
    return kinds


def known_kind(column: str, kind: str) -> str:
    """A kind that there is.

    Raises:
        ConfigurationError: there is no such kind.
    """
    if kind not in KINDS:
        raise ConfigurationError(
            f"Column '{column}' of the schema is tagged '{TAG}{kind}'; the kinds are "
            f"{', '.join(KINDS)}."
        )
    return kind


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _message() -> Any:
    """The few fields of tensorflow_metadata's Schema that are read, under the numbers they have.

    Its package is in the data image only, and the others need no more of it than this.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    text, message = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, 11
    fields: dict[str, list[tuple[str, int, int, str]]] = {
        "Annotation": [("tag", 1, text, "")],
        "Feature": [("name", 1, text, ""), ("annotation", 16, message, "Annotation")],
        "Schema": [("feature", 1, message, "Feature")],
    }
    file = descriptor_pb2.FileDescriptorProto(name="shipway/schema.proto", package="shipway.read")
    for name, members in fields.items():
        kind = file.message_type.add(name=name)
        for field, number, type_, of in members:
            several = field in ("tag", "feature")
            kind.field.add(
                name=field, number=number, type=type_, label=3 if several else 1,
                type_name=f".shipway.read.{of}" if of else None,
            )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shipway.read.Schema"))
