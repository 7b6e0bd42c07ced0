"""Rows that are equal in all features: which they are, and which of them comes first."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Repeats:
    """Rows whose features stand in another row too, grouped; nothing of rows that are alone.

    Attributes:
        rows: indices of the rows, group by group, ascending within a group; shape (m,).
        starts: where in `rows` each group begins; shape (g,).
    """

    rows: np.ndarray
    starts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each group; shape (g,)."""
        return np.diff(self.starts, append=len(self.rows))

    @property
    def firsts(self) -> np.ndarray:
        """For each of `rows`, the first row of its group; shape (m,)."""
        return np.repeat(self.rows[self.starts], self.sizes)


def find_repeats(hashes: np.ndarray) -> Repeats:
    """Group rows of one hash by one stable sort; shape of `hashes` (n,)."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    same = ordered[1:] == ordered[:-1]
    del ordered
    repeated = np.zeros(len(hashes), dtype=bool)
    repeated[1:] |= same
    repeated[:-1] |= same
    first = repeated.copy()
    first[1:] &= ~same
    return Repeats(order[repeated], np.flatnonzero(first[repeated]))


def hashes_in_splits(repeats: Repeats, parts: np.ndarray) -> np.ndarray:
    """Which splits each group of equal rows stands in, a bit for each; shape (g,)."""
    if not len(repeats.starts):
        return np.empty(0, dtype=np.int8)
    bits = np.left_shift(np.int8(1), parts[repeats.rows])
    return np.asarray(np.bitwise_or.reduceat(bits, repeats.starts))
