"""Which row goes where: each strategy gives a code for every row, 0 train, 1 validation, 2 test.

Rows that are equal in all columns but the label have one hash, and never straddle splits. Each
strategy sorts one array of eight bytes a row, and looks for the two values at which to cut it.
"""

import numpy as np

from shipway.components.lib.errors import DataError
from shipway.components.lib.task import Target
from shipway.components.split.repeats import Repeats

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")
MIN_CLASS_ROWS = 3


def by_hash(hashes: np.ndarray, validation: float, test: float) -> np.ndarray:
    """By content alone: shares are about right, and membership outlives appended rows."""
    parts = np.full(len(hashes), TRAIN, dtype=np.int8)
    for part, share in ((VALIDATION, test + validation), (TEST, test)):
        parts[hashes < np.uint64(share * 2**64)] = part
    return parts


def _ranked(keys: np.ndarray, validation: float, test: float) -> np.ndarray:
    """By the rank of a key, equal keys together: shares are as right as can be.

    Each split gets at least one key where there are three.
    """
    ordered = np.sort(keys)
    ends = [_end(ordered, share) for share in (test, test + validation)]
    parts = np.full(len(keys), TRAIN, dtype=np.int8)
    for part, end in ((VALIDATION, ends[1]), (TEST, ends[0])):
        if end:
            parts[keys <= ordered[end - 1]] = part
    if 0 < ends[0] < ends[1] < len(keys):
        return parts
    return _with_each_split(keys, parts)


def _end(ordered: np.ndarray, share: float) -> int:
    """Rows of the sorted keys whose key has its middle row below a share of all rows."""
    place = share * len(ordered)
    key = ordered[min(int(place), len(ordered) - 1)]
    first, after = (int(np.searchsorted(ordered, key, side)) for side in ("left", "right"))
    return after if (first + after) / 2 < place else first


def _with_each_split(keys: np.ndarray, parts: np.ndarray) -> np.ndarray:
    distinct, first = np.unique(keys, return_index=True)
    if len(distinct) >= 3:
        held = parts[first]
        for part, index in ((TEST, 0), (VALIDATION, 1), (TRAIN, len(distinct) - 1)):
            if part not in held:
                held[index] = part
                parts[keys == distinct[index]] = part
    return parts


def by_class(
    hashes: np.ndarray,
    codes: np.ndarray,
    repeats: Repeats,
    target: Target,
    validation: float,
    test: float,
) -> np.ndarray:
    """By content within each class, so that each split has each class in its share.

    Raises:
        DataError: a class has fewer than three rows.
    """
    counts = np.bincount(codes, minlength=len(target.classes))
    for name, count in zip(target.classes, counts, strict=True):
        if count < MIN_CLASS_ROWS:
            raise DataError(
                f"Class '{name}' of the label has {count} row{'s' if count != 1 else ''}; each of "
                "the three splits needs one. Bring more rows of it, merge it with another class, "
                "or leave its rows out."
            )
    # Equal rows of two classes belong together: to the class of the first of them.
    stratum = codes.astype(np.uint8)
    stratum[repeats.rows] = stratum[repeats.firsts]
    parts = np.empty(len(codes), dtype=np.int8)
    for code in np.unique(stratum):
        rows = stratum == code
        parts[rows] = _ranked(hashes[rows], validation, test)
    return parts


def by_group(keys: np.ndarray, name: str, validation: float, test: float) -> np.ndarray:
    """By a hash of the group, so that no group straddles; rows without one are a group.

    Raises:
        DataError: there are fewer than three groups.
    """
    groups = len(np.unique(keys))
    if groups < 3:
        raise DataError(
            f"Column '{name}' has {groups} groups; each of the three splits needs one. Choose a "
            "group_column with more values, or another split_strategy."
        )
    return _ranked(keys, validation, test)


def by_time(times: np.ndarray, name: str, validation: float, test: float) -> np.ndarray:
    """By time: validation is later than training, and the test later than both; ties together.

    Raises:
        DataError: there are too few distinct times.
    """
    ordered = np.sort(times)
    starts = np.flatnonzero(ordered[1:] > ordered[:-1]) + 1
    if len(starts) < 2:
        raise DataError(
            f"Column '{name}' has too few distinct times to cut three splits from "
            f"({len(starts) + 1} in {len(times):,} rows). Use split_strategy='hash', or a finer "
            "time."
        )
    # Of all cuts between two times, those with the shares nearest to the wanted ones.
    test_from = _nearest(starts[1:], (1 - test) * len(times))
    validation_from = _nearest(starts[starts < test_from], (1 - test - validation) * len(times))
    parts = np.full(len(times), TEST, dtype=np.int8)
    parts[times < ordered[test_from]] = VALIDATION
    parts[times < ordered[validation_from]] = TRAIN
    return parts


def _nearest(starts: np.ndarray, place: float) -> int:
    after = min(int(np.searchsorted(starts, place)), len(starts) - 1)
    before = max(after - 1, 0)
    return int(starts[before if place - starts[before] <= starts[after] - place else after])
