"""What the model store asks of a bucket, whichever service keeps it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class StoredFile:
    """What the service says of an object.

    Attributes:
        bytes: its size.
        checksum: in the service's own kind; empty where it keeps none.
    """

    bytes: int
    checksum: str


class Bucket(Protocol):
    """The objects under a prefix; every name is relative to it.

    Each method retries what can pass by itself, and raises a StoreError that names the cure.
    """

    uri: str

    def names(self, prefix: str) -> list[str]:
        """Everything whose name begins so."""

    def stat(self, name: str) -> StoredFile | None:
        """Size and checksum, or None where there is nothing."""

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Content and the state it was read in, or None where there is nothing."""

    def create(self, name: str, file: Path) -> None:
        """Upload a file in parts, unless the name is taken: then what stands there stays."""

    def swap(self, name: str, content: bytes, state: str) -> bool:
        """Write over the state that was read ("" for nothing); False where it is another."""

    def fetch(self, name: str, file: Path) -> None:
        """Download an object."""

    def remove(self, name: str) -> None:
        """Remove an object; it is no error that there is none."""

    def checksum(self, file: Path) -> str:
        """Of a local file, as the service would report it."""
