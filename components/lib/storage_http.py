"""Tables at http:// and https:// addresses, read by ranges at the state that was listed."""

import re
from typing import Any, BinaryIO

from shipway.components.lib.errors import DataError
from shipway.components.lib.objects import StoredObject, changed
from shipway.components.lib.ranged_file import PassingFailure, may_pass, open_ranged, patiently

TIMEOUT_SECONDS = 60
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")


class HttpObjects:
    """One object at a URL."""

    def listed(self, uri: str) -> list[StoredObject]:
        """The object at a URL.

        Raises:
            DataError: it is not there, or the server cannot give parts of it, or tell its state.
        """
        return [patiently(uri, lambda: _stat(uri))]

    def opened(self, stored: StoredObject) -> BinaryIO:
        """The object, as long as its state stands."""

        def fetch(first: int, last: int) -> bytes:
            answer = _asked(stored.uri, first, last)
            if _state(answer) != (stored.size, stored.generation):
                raise changed(stored.uri)
            return bytes(answer.content)

        return open_ranged(stored, fetch)

    def check_unchanged(self, stored: StoredObject) -> None:
        """Nothing to do: each block is compared with the state that was listed."""


def _stat(uri: str) -> StoredObject:
    answer = _asked(uri, 0, 1)
    size, generation = _state(answer)
    if answer.status_code == 200 and answer.content:
        raise DataError(
            f"'{uri}' cannot be read: its server does not give parts of a file. Copy it to a "
            "folder or a bucket first."
        )
    if not generation:
        raise DataError(
            f"'{uri}' cannot be read: its server gives neither ETag nor Last-Modified, so a change "
            "would go unseen. Copy it to a folder or a bucket first."
        )
    return StoredObject(uri, size, generation)


def _state(answer: Any) -> tuple[int, str]:
    total = _TOTAL.fullmatch(answer.headers.get("content-range", ""))
    generation = answer.headers.get("etag") or answer.headers.get("last-modified") or ""
    return (int(total[1]) if total else len(answer.content)), generation


def _asked(uri: str, first: int, last: int) -> Any:
    import requests
    import urllib3

    failures = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)
    try:
        # Identity: a range of a compressed answer would be no range of the object.
        answer = requests.get(
            uri,
            headers={"range": f"bytes={first}-{last - 1}", "accept-encoding": "identity"},
            timeout=TIMEOUT_SECONDS,
            stream=True,
        )
        with answer:
            if may_pass(answer.status_code):
                raise PassingFailure(f"the server answered {answer.status_code} {answer.reason}")
            # A server that ignores ranges would send the whole object: its start is enough.
            answer._content = answer.raw.read(last - first + 1, decode_content=False)
    except failures as error:
        raise PassingFailure(f"the connection failed ({error})") from error
    if answer.status_code in (401, 403):
        raise DataError(
            f"'{uri}' cannot be read: the server answered {answer.status_code}. Only addresses "
            "that need no password are read, or those in .netrc; else copy it to a bucket."
        )
    if answer.status_code not in (200, 206, 416):
        raise DataError(
            f"'{uri}' cannot be read: the server answered {answer.status_code} {answer.reason}. "
            "Check the address."
        )
    return answer
