"""k-anonymity: how many rows share the same values of the columns that may tell a person.

Each row's values become 64 bits; a hash says where they are counted, so memory stays small for any
number of groups. Two groups are taken for one with a probability of n squared / 2**65.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SMALL = 5
_PLACES = 64
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MISSING = np.uint64(0x5851F42D4C957F2D)


@dataclass(frozen=True)
class Anonymity:
    """How well rows hide among others.

    Attributes:
        columns: the quasi-identifiers.
        rows: rows that were counted.
        groups: different combinations of values.
        smallest: rows of the smallest group: the k of k-anonymity.
        small_rows: rows in groups below 5.
    """

    columns: tuple[str, ...]
    rows: int
    groups: int
    smallest: int
    small_rows: int


class Groups:
    """Counts groups over batches; a context manager that holds 8 bytes a row on disk."""

    def __init__(self, columns: Sequence[str]) -> None:
        """Begin to count groups of equal values of some columns."""
        self._columns = tuple(columns)
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> "Groups":
        """Open the files; none without columns."""
        if self._columns:
            self._files = [tempfile.TemporaryFile() for _ in range(_PLACES)]
        return self

    def __exit__(self, *raised: object) -> None:
        """Delete the files."""
        for file in self._files:
            file.close()

    def add(self, rows: pa.Table) -> None:
        """Count the rows of a batch."""
        if not self._columns or not rows.num_rows:
            return
        hashes = np.zeros(rows.num_rows, np.uint64)
        for name in self._columns:
            hashes = _mixed(hashes ^ _hashes(rows.column(name)))
        places = (hashes >> np.uint64(58)).astype(np.intp)
        order = np.argsort(places, kind="stable")
        ends = np.cumsum(np.bincount(places, minlength=_PLACES))
        for file, part in zip(self._files, np.split(hashes[order], ends[:-1]), strict=True):
            file.write(part.tobytes())

    def result(self) -> Anonymity | None:
        """The counts; None without columns."""
        if not self._columns:
            return None
        rows = groups = small = 0
        smallest = np.iinfo(np.int64).max
        for file in self._files:
            file.seek(0)
            sizes = np.unique(np.frombuffer(file.read(), np.uint64), return_counts=True)[1]
            if len(sizes):
                rows, groups = rows + int(sizes.sum()), groups + len(sizes)
                smallest = min(smallest, int(sizes.min()))
                small += int(sizes[sizes < SMALL].sum())
        return Anonymity(self._columns, rows, groups, smallest if groups else 0, small)


def _hashes(column: pa.ChunkedArray) -> np.ndarray:
    """64 bits for each value; equal for equal values in any batch."""
    coded = pc.dictionary_encode(column.combine_chunks())
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    texts = pc.cast(coded.dictionary, pa.string()).to_pylist()
    table = np.array([*(_hash(text) for text in texts), _MISSING], np.uint64)
    codes: np.ndarray = pc.fill_null(coded.indices, len(texts)).to_numpy(zero_copy_only=False)
    hashes: np.ndarray = table[codes]
    return hashes


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Spread the bits, so that the order of columns counts (splitmix64's last steps)."""
    hashes = hashes * _ODD
    hashes ^= hashes >> np.uint64(30)
    hashes = hashes * np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(27)
    hashes = hashes * np.uint64(0x94D049BB133111EB)
    hashes ^= hashes >> np.uint64(31)
    return hashes
