"""Objects to read, whichever service keeps them, and which of them a URI names."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

from shipway.components.lib.errors import DataError


@dataclass(frozen=True)
class StoredObject:
    """One object to read.

    Attributes:
        uri: absolute path, or scheme://place/name.
        size: in bytes.
        generation: which state of it was listed: Google's generation, an ETag, or the time of the
            last change in nanoseconds.
    """

    uri: str
    size: int
    generation: str


class Place(Protocol):
    """A service that keeps objects; each method raises a DataError that names the cure."""

    def listed(self, uri: str) -> list[StoredObject]:
        """The objects that a URI names, in any order."""

    def opened(self, stored: StoredObject) -> BinaryIO:
        """An object for reading, in the state in which it was listed."""

    def check_unchanged(self, stored: StoredObject) -> None:
        """Refuse an object that was written to since it was listed."""


def changed(uri: str) -> DataError:
    """The error for an object that is another one than was listed."""
    return DataError(f"'{uri}' changed while it was read. Run again once nobody writes to it.")


def missing(uri: str) -> DataError:
    """The error for an object, or its bucket, that is not there."""
    return DataError(
        f"'{uri}' cannot be read: there is no such bucket or object. Check the spelling, and "
        "that nobody replaces it while it is read."
    )


def fixed_part(name: str) -> str:
    """What stands before the first wildcard."""
    return re.split(r"[*?[]", name, maxsplit=1)[0]


def is_visible(name: str) -> bool:
    """Whether no part of a relative name begins with "." or "_"."""
    return not any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)


def chosen(found: Sequence[StoredObject], uri: str) -> list[StoredObject]:
    """Those of some objects that a URI names: one, those that fit a glob, or those in a folder."""
    if fixed_part(uri) != uri:
        wanted = [one for one in found if _matches(one.uri, uri)]
        return [one for one in wanted if is_visible(one.uri.rsplit("/", 1)[-1])]
    folder = uri.rstrip("/") + "/"
    exact = [one for one in found if one.uri == uri]
    inside = [one for one in found if one.uri.startswith(folder)]
    return exact or [one for one in inside if is_visible(one.uri[len(folder) :])]


def _matches(name: str, pattern: str) -> bool:
    """Whether a name fits a glob; as in a file system, only ** reaches into folders."""
    deep = "**" in pattern or name.count("/") == pattern.count("/")
    return deep and fnmatch.fnmatchcase(name, pattern.replace("**/", "*"))
