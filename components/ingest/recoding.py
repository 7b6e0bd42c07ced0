"""Text in other encodings, and lines that are no rows, made plain while they stream."""

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO, cast

from shipway.components.lib.errors import DataError

_BLOCK = 1 << 20
_LINE_BYTES = 64 << 20


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill a buffer; the bytes that came."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def recoded(file: BinaryIO, encoding: str, uri: str) -> BinaryIO:
    """A text file of some encoding as one of UTF-8.

    Raises:
        DataError: while reading: bytes are not of the encoding.
    """
    return io.BufferedReader(_Chunks(_utf8(file, encoding, uri)), _BLOCK)


def _utf8(file: BinaryIO, encoding: str, uri: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, ended = 0, False
    while not ended:
        block = file.read(_BLOCK)
        ended = not block
        try:
            text = decoder.decode(block, final=ended)
        except UnicodeDecodeError as error:
            lines += error.object[: error.start].decode(encoding, "ignore").count("\n")
            raise DataError(
                f"'{uri}', line {lines + 1}: the byte 0x{error.object[error.start]:02x} is not "
                f"{encoding}. Set read_options encoding to what the file is written in, or mend "
                "the row."
            ) from error
        lines += text.count("\n")
        yield text.encode("utf-8", "replace")


def without_comments(file: BinaryIO, sign: str, quote: str) -> BinaryIO:
    """A file with lines that begin with a sign made empty, so that numbers of lines stay.

    Lines within quotes are no comments.
    """
    return cast(BinaryIO, io.BufferedReader(_Chunks(_plain(file, sign, quote)), _BLOCK))


def _plain(file: BinaryIO, sign: str, quote: str) -> Iterator[bytes]:
    begin, around = sign.encode(), quote.encode()
    is_open = False
    lines: list[bytes] = []
    size = 0
    while line := file.readline(_LINE_BYTES):
        if not is_open and line.startswith(begin):
            line = b"\n"
        elif around and line.count(around) % 2:
            is_open = not is_open
        lines.append(line)
        size += len(line)
        if size >= _BLOCK:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)
