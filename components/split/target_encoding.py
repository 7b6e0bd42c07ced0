"""Columns that hold means of the label: categories that were encoded before the split.

A mean that was taken over all rows carries the labels of the test into training, and each row's
own label into its features. Its few values equal the mean label of the very rows that have them,
far more closely than chance lets an honest score do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import numbers
from shipway.components.lib.decision import Rule
from shipway.components.lib.kinds import is_number
from shipway.components.split.scan import read_column
from shipway.components.split.subject import Subject, cure, passed

MIN_VALUES = 5
MAX_VALUE_SHARE = 0.2
MIN_ROWS_EACH = 3.0
CLOSE = 0.01
MATCHED_SHARE = 0.9
MAX_SMOOTHING = 1e4


@dataclass(frozen=True)
class _Means:
    """The mean label of the rows of each value of a column.

    Attributes:
        values: distinct, shape (k,).
        counts: rows of each, shape (k,).
        sums: of the outcomes of those rows, shape (k, s).
        rows: of all values, also those that are not among `values`.
    """

    values: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    rows: int


def encoding_rules(subject: Subject) -> list[Rule]:
    """Numbers with few values, each of them the mean label of its rows, smoothed or not."""
    found = []
    spread = subject.outcomes(subject.training_rows)
    for name in subject.features:
        distinct = _values(subject.training.column(name), spread)
        if distinct is None:
            continue
        some = _means(distinct, [(numbers(subject.training.column(name)), spread)])
        if _match(some, spread, 4.0)[0] < MATCHED_SHARE:
            continue  # not even near the means of the sample
        every = _means(distinct, _batches(subject, name))
        matched, smoothing = _match(every, spread, CLOSE)
        if matched < MATCHED_SHARE:
            continue
        how = f" (smoothed by {smoothing:.3g} rows)" if smoothing else ""
        sentence = (
            f"Column '{name}' is an encoding of the label: in {matched:.0%} of the rows it equals "
            f"the mean label{how} of all rows of that value, test rows included. Encode "
            "categories after the split: bring the raw column, which the feature plan encodes out "
            f"of fold. {cure(name)}"
        )
        rule = Rule(
            "target_encoding", "fail", sentence, matched, f"< {MATCHED_SHARE:g}", name, every.rows
        )
        found.append(rule)
    return found or [passed("target_encoding", "No column holds means of the label.")]


def _values(column: pa.ChunkedArray, outcomes: np.ndarray) -> np.ndarray | None:
    """The distinct values of a column that may hold means of the label, else None."""
    if not is_number(column.type):
        return None
    values = numbers(column)
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    if not MIN_VALUES <= len(distinct) <= MAX_VALUE_SHARE * len(known):
        return None
    whole = (distinct == np.floor(distinct)).all()
    inside = distinct[0] >= outcomes.min() - 1e-9 and distinct[-1] <= outcomes.max() + 1e-9
    return distinct if inside and not whole else None


def _batches(subject: Subject, name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    start = 0
    for column in read_column(subject.dataset, name):
        rows = np.arange(start, start + len(column))
        start += len(column)
        yield numbers(column), subject.outcomes(rows)


def _means(distinct: np.ndarray, pieces: Iterable[tuple[np.ndarray, np.ndarray]]) -> _Means:
    counts, sums, rows = np.zeros(len(distinct)), None, 0
    for values, outcomes in pieces:
        known = ~np.isnan(values)
        rows += int(known.sum())
        places = np.minimum(np.searchsorted(distinct, values), len(distinct) - 1)
        known &= distinct[places] == values
        codes = places[known]
        counts += np.bincount(codes, minlength=len(distinct))
        more = np.stack(
            [np.bincount(codes, weights=one, minlength=len(distinct)) for one in outcomes[known].T],
            axis=1,
        )
        sums = more if sums is None else sums + more
    return _Means(distinct, counts, np.zeros((len(distinct), 1)) if sums is None else sums, rows)


def _match(means: _Means, outcomes: np.ndarray, errors: float) -> tuple[float, float]:
    """The share of rows whose value is the mean of its rows' labels, and the smoothing."""
    best = (0.0, 0.0)
    if means.counts.sum() < MIN_ROWS_EACH * len(means.values):
        return best
    counts = np.maximum(means.counts, 1)
    for column, sums in zip(outcomes.T, means.sums.T, strict=True):
        mean, prior = sums / counts, float(sums.sum() / counts.sum())
        # What chance leaves between a mean and its expectation: an encoding is far closer.
        allowed = errors * column.std() / np.sqrt(counts) + 1e-9
        for smoothing in (0.0, _smoothing(means.values, mean, counts, prior)):
            made = (sums + smoothing * prior) / (counts + smoothing)
            near = (np.abs(made - means.values) <= allowed) & (means.counts > 0)
            matched = float(means.counts[near].sum() / means.rows)
            # Values that are all one mean are no encoding.
            if matched > best[0] and mean.std() > 1e-9:
                best = (matched, smoothing)
    return best


def _smoothing(distinct: np.ndarray, means: np.ndarray, counts: np.ndarray, prior: float) -> float:
    """The weight of the overall mean that explains most values: (n mean + m prior) / (n + m)."""
    apart = np.abs(distinct - prior) > 1e-6
    if not apart.any():
        return 0.0
    weights = (counts * (means - distinct))[apart] / (distinct - prior)[apart]
    weight = float(np.median(weights))
    return weight if 0 < weight < MAX_SMOOTHING else 0.0
