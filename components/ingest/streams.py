"""Text objects as streams of UTF-8: compression told by first bytes, a byte order mark dropped."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from shipway.components.ingest.compression import DAMAGE, MARK_BYTES, told, unpacked
from shipway.components.ingest.recoding import recoded
from shipway.components.lib.errors import DataError
from shipway.components.lib.storage import StoredObject, open_binary

UTF8_MARK, UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
LINE_BYTES = 64 << 20


@contextmanager
def open_text(stored: StoredObject, encoding: str = "") -> Iterator[BinaryIO]:
    """Open an object as UTF-8, uncompressed, behind its byte order mark.

    Raises:
        DataError: it cannot be read, is UTF-16 and no encoding is given, or is a compressed file
            that was cut.
    """
    with open_binary(stored) as raw:
        packed = told(cast(io.BufferedReader, raw).peek(MARK_BYTES)[:MARK_BYTES])
        file = unpacked(raw, packed) if packed else raw
        try:
            if encoding:
                yield recoded(file, encoding, stored.uri)
                return
            start = cast(io.BufferedReader, file).peek(3)[:3]
            if start[:2] in UTF16_MARKS:
                raise DataError(
                    f"'{stored.uri}' is in UTF-16. Set read_options encoding=utf-16, or "
                    "convert the file, e.g. by iconv -f utf-16 -t utf-8."
                )
            if start == UTF8_MARK:
                file.read(3)
            yield file
        except DAMAGE as error:
            if not packed:
                raise
            raise DataError(
                f"'{stored.uri}' is not a whole {packed} file ({error}). Compress or copy it again."
            ) from error


def not_utf8(stored: StoredObject) -> DataError:
    """The error for an object with bytes that are not UTF-8: it looks for the first of them."""
    cure = (
        "Set read_options encoding, such as latin-1; or convert the file, e.g. by iconv -f latin1 "
        "-t utf-8; or mend the rows of another encoding."
    )
    offset = 0
    with open_text(stored) as file:
        number = 0
        while line := file.readline(LINE_BYTES):
            number += 1
            try:
                line.decode()
            except UnicodeDecodeError as error:
                # What stands around it is not shown: it may be personal.
                return DataError(
                    f"'{stored.uri}', line {number}: byte {offset + error.start + 1} "
                    f"(0x{line[error.start]:02x}) is not UTF-8. {cure}"
                )
            offset += len(line)
    return DataError(f"'{stored.uri}' has bytes that are not UTF-8. {cure}")
