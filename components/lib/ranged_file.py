"""A remote object as a file: read in blocks, each asked for again until it came whole."""

import io
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar, cast

import tenacity

from shipway.components.lib.errors import DataError
from shipway.components.lib.objects import StoredObject

BLOCK_BYTES = 8 << 20
ATTEMPTS = 8  # of each request, ever more slowly: about a minute in all
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, JITTER_SECONDS = 0.5, 20.0, 1.0
TOO_MANY_REQUESTS = 429

Answer = TypeVar("Answer")


class PassingFailure(Exception):
    """A request failed in a way that may pass by itself."""


def may_pass(status: int) -> bool:
    """Whether an HTTP status says that the same request may succeed later."""
    return status in (408, TOO_MANY_REQUESTS) or status >= 500


def patiently(uri: str, request: Callable[[], Answer]) -> Answer:
    """Make a request, again and ever more slowly while its failures may pass.

    Raises:
        DataError: it failed at every attempt.
    """
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential_jitter(
            FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, jitter=JITTER_SECONDS
        ),
        retry=tenacity.retry_if_exception_type(PassingFailure),
        reraise=True,
    )
    try:
        return retrying(request)
    except PassingFailure as error:
        raise DataError(
            f"'{uri}' cannot be read: {error}, in each of {ATTEMPTS} attempts. Check the network "
            "and the service, then run again."
        ) from error


class RangedFile(io.RawIOBase):
    """An object that is fetched by ranges of bytes: what comes is whole, or an error."""

    def __init__(self, stored: StoredObject, fetch: Callable[[int, int], bytes]) -> None:
        """Prepare to read.

        Args:
            stored: the object.
            fetch: gives the bytes from a first to before a last position, of the state that was
                listed; raises `PassingFailure` for what is worth another attempt.
        """
        self._stored = stored
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in bytes."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._stored.size}
        self._position = max(0, start[whence] + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, but for the end of the object; the bytes that came."""
        first = self._position
        last = min(first + min(len(buffer), BLOCK_BYTES), self._stored.size)
        if first >= last:
            return 0
        data = patiently(self._stored.uri, lambda: self._whole(first, last))
        buffer[: len(data)] = data
        self._position = last
        return len(data)

    def readall(self) -> bytes:
        """What is left of the object."""
        return b"".join(iter(lambda: self.read(BLOCK_BYTES) or b"", b""))

    def _whole(self, first: int, last: int) -> bytes:
        data = self._fetch(first, last)
        if len(data) != last - first:
            raise PassingFailure(f"{len(data):,} bytes came where {last - first:,} were asked for")
        return data


def open_ranged(stored: StoredObject, fetch: Callable[[int, int], bytes]) -> BinaryIO:
    """An object that is fetched by ranges as a buffered file."""
    return cast(BinaryIO, io.BufferedReader(RangedFile(stored, fetch), BLOCK_BYTES))
