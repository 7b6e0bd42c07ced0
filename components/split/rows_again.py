"""Rows that come again within the table: with another label, or block by block."""

import numpy as np

from shipway.components.lib.decision import Rule
from shipway.components.split.subject import Subject, passed

MIN_BLOCK = 20
DISTINCT_SHARE = 0.5


def repetition_rules(subject: Subject) -> list[Rule]:
    """Conflicting rows, and blocks of rows that stand in the table twice."""
    return [*_conflicts(subject), _blocks(subject)]


def _conflicts(subject: Subject) -> list[Rule]:
    repeats = subject.repeats
    y = subject.y[repeats.rows]
    same_group = np.ones(max(len(y) - 1, 0), dtype=bool)
    same_group[repeats.starts[1:] - 1] = False
    count = int((same_group & (y[1:] != y[:-1])).sum())
    if not count:
        return []
    sentence = (
        f"{count:,} rows are equal to another row in all columns but the label, which differs: no "
        "model can tell them apart. Look for a column that is missing."
    )
    return [Rule("conflicting_rows", "warn", sentence, float(count), "0", n=subject.rows)]


def _blocks(subject: Subject) -> Rule:
    """Runs of rows that repeat an earlier run in its order: a file that was loaded twice.

    A row that repeats the row just before it counts only where most rows differ: there a source
    is stuck.
    """
    repeats = subject.repeats
    alone = subject.rows - len(repeats.rows)
    first = np.zeros(len(repeats.rows), dtype=bool)
    first[repeats.starts] = True
    again = np.flatnonzero(~first)
    rows, before = repeats.rows[again], repeats.rows[again - 1]
    order = np.argsort(rows)
    rows, before = rows[order], before[order]
    if (alone + len(repeats.starts)) / subject.rows < DISTINCT_SHARE:
        kept = rows - before > 1
        rows, before = rows[kept], before[kept]
    runs = _runs(rows, before)
    if not runs:
        return passed("duplicated_blocks", "No block of rows stands in the table twice.")
    total = sum(length for _, _, length in runs)
    start, source, length = max(runs, key=lambda run: run[2])
    sentence = (
        f"{total:,} rows in {len(runs):,} blocks repeat an earlier block, row for row: the longest "
        f"is rows {start:,} to {start + length - 1:,}, which repeat those from {source:,} on. Drop "
        "the copies: a file was loaded twice, a source is stuck, or rows were planted."
    )
    return Rule("duplicated_blocks", "warn", sentence, float(total), "0", n=subject.rows)


def _runs(rows: np.ndarray, before: np.ndarray) -> list[tuple[int, int, int]]:
    """Start, start of the original and length of each run of at least `MIN_BLOCK` rows."""
    if not len(rows):
        return []
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(before) != 1)) + 1
    starts = np.concatenate([[0], breaks])
    lengths = np.diff(np.append(starts, len(rows)))
    long = np.flatnonzero(lengths >= MIN_BLOCK)
    return [(int(rows[starts[i]]), int(before[starts[i]]), int(lengths[i])) for i in long]
