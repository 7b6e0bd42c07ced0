"""Compressed text, told by its first bytes: gzip, bzip2, xz and Zstandard."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, cast

import pyarrow as pa

SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd")
MARK_BYTES = 6


def _unzipped(raw: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw))


def _unbzipped(raw: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, bz2.BZ2File(raw))


def _unxzed(raw: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, lzma.LZMAFile(raw))


def _unzstandard(raw: BinaryIO) -> BinaryIO:
    # Python 3.13 has no Zstandard of its own; pyarrow brings one.
    native = pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")
    return cast(BinaryIO, io.BufferedReader(native))


_KINDS: dict[bytes, tuple[str, Callable[[BinaryIO], BinaryIO]]] = {
    b"\x1f\x8b": ("gzip", _unzipped),
    b"BZh": ("bzip2", _unbzipped),
    b"\xfd7zXZ\x00": ("xz", _unxzed),
    b"\x28\xb5\x2f\xfd": ("Zstandard", _unzstandard),
}
# What the decoders raise for bytes that are cut or damaged.
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, OSError)


def told(start: bytes) -> str:
    """The name of the compression that some first bytes are of; empty for none."""
    return next((name for mark, (name, _) in _KINDS.items() if start.startswith(mark)), "")


def unpacked(raw: BinaryIO, name: str) -> BinaryIO:
    """A compressed stream as the stream that it holds; it has `peek`, `read` and `readline`."""
    (opened,) = (make for kind, make in _KINDS.values() if kind == name)
    return opened(raw)
