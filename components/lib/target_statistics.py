"""Categories as statistics of the target, smoothed towards the overall mean.

The smoothing is that of D. Micci-Barreca, "A preprocessing scheme for high-cardinality categorical
attributes in classification and prediction problems", SIGKDD Explorations 3(1), 2001:
(sum + m * prior) / (count + m).
"""

import math
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.kinds import is_number, whole_numbers
from shipway.components.lib.task import Target

SMOOTHING = 20.0
RARE = 5


def _scores(y: np.ndarray, target: Target) -> np.ndarray:
    """What is averaged: the value, the positive class, or each class; float64 of shape (n, s)."""
    if target.task == "multiclass":
        return np.asarray(np.eye(len(target.classes))[y])
    return y.astype(np.float64)[:, None]


def statistic_names(target: Target) -> list[str]:
    """Names of the features of a category with many values."""
    if target.task == "multiclass":
        return [*(f"share of {value}" for value in target.classes), "count"]
    return ["mean", "count"]


def _coded(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """Distinct values, trimmed or whole, and each row's code; -1 for a missing one."""
    if is_number(column.type):
        column = whole_numbers(column)
    trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
    encoded = pc.dictionary_encode(trimmed.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_pylist(), np.asarray(codes)


def _sums(codes: np.ndarray, scores: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    known = codes >= 0
    counts = np.bincount(codes[known], minlength=size).astype(np.float64)
    sums = [
        np.bincount(codes[known], weights=scores[known, index], minlength=size)
        for index in range(scores.shape[1])
    ]
    return counts, np.stack(sums, axis=1)


def _features(counts: np.ndarray, sums: np.ndarray, prior: np.ndarray) -> np.ndarray:
    means = (sums + SMOOTHING * prior) / (counts[:, None] + SMOOTHING)
    return np.hstack([means, np.log1p(counts)[:, None]])


def category_statistics(
    column: pa.ChunkedArray, y: np.ndarray, target: Target
) -> tuple[dict[str, list[float]], list[float]]:
    """Smoothed mean of the target and log count by category, over all training rows.

    Returns:
        The features by value, and those of a value that was not seen: the prior, and no count.
    """
    values, codes = _coded(column)
    scores = _scores(y, target)
    prior = scores.mean(axis=0)
    features = _features(*_sums(codes, scores, len(values)), prior)
    table = {value: row.tolist() for value, row in zip(values, features, strict=True)}
    return table, [*prior.tolist(), 0.0]


class FoldStatistics:
    """As `category_statistics`, of each row from the rows of the other folds alone.

    Rows are taken in piece by piece, in their order, and the pieces make no difference to the bits.
    What is held is sums by fold and category, and nothing by row.
    """

    def __init__(self, target: Target, folds: int) -> None:
        """Begin with no rows."""
        self._target, self._folds = target, folds
        self._places: dict[str | None, int] = {None: 0}  # of categories; None stands for all rows
        self._counts = np.zeros(folds)
        self._sums = np.zeros((folds, len(statistic_names(target)) - 1))

    def add(self, column: pa.ChunkedArray, y: np.ndarray, folds: np.ndarray) -> None:
        """Take in rows.

        Args:
            column: their categories.
            y: their labels.
            folds: the fold that each is in.
        """
        values, codes = _coded(column)
        places = np.array([self._places.setdefault(v, len(self._places)) for v in values], np.int64)
        more = len(self._places) * self._folds - len(self._counts)
        self._counts = np.append(self._counts, np.zeros(more))
        self._sums = np.append(self._sums, np.zeros((more, self._sums.shape[1])), axis=0)
        scores, known = _scores(y, self._target), codes >= 0
        self._count(folds, scores)
        self._count(places[codes[known]] * self._folds + folds[known], scores[known])

    def _count(self, cells: np.ndarray, scores: np.ndarray) -> None:
        self._counts += np.bincount(cells, minlength=len(self._counts))
        for index in range(scores.shape[1]):
            # One row after the other: a sum of sums would depend on where the pieces end.
            np.add.at(self._sums[:, index], cells, scores[:, index])

    def features(self, column: pa.ChunkedArray, folds: np.ndarray) -> np.ndarray:
        """Features of some of the rows, once all were taken in.

        Returns:
            float64 of shape (n, len(statistic_names(target))), NaN for a missing category.
        """
        values, codes = _coded(column)
        places = np.array([self._places[value] for value in values], dtype=np.int64)
        known = codes >= 0
        rows, inside = places[codes[known]], folds[known]
        counts, sums = self._by_place
        prior = self._prior[inside]
        cells = rows * self._folds + inside
        made = _features(counts[rows] - self._counts[cells], sums[rows] - self._sums[cells], prior)
        # The count is no secret of the label: all rows' count, as serving will have it.
        made[:, -1] = np.log1p(counts)[rows]
        result = np.full((len(codes), made.shape[1]), math.nan)
        result[known] = made
        return result

    @cached_property
    def _by_place(self) -> tuple[np.ndarray, np.ndarray]:
        sums = self._sums.reshape(-1, self._folds, self._sums.shape[1])
        return self._counts.reshape(-1, self._folds).sum(axis=1), sums.sum(axis=1)

    @cached_property
    def _prior(self) -> np.ndarray:
        """The mean of the rows outside each fold; of all rows, where there are none outside."""
        counts, sums = (by_place[0] for by_place in self._by_place)
        others = counts - self._counts[: self._folds]
        means = (sums - self._sums[: self._folds]) / np.maximum(others, 1)[:, None]
        return np.asarray(np.where(others[:, None] > 0, means, sums / max(counts, 1)))


def category_codes(
    column: pa.ChunkedArray, y: np.ndarray, target: Target
) -> tuple[dict[str, list[float]], list[float]]:
    """Codes of a category with few values, ordered by the smoothed mean of the target.

    Values of fewer than 5 rows share one code, that of a value which was not seen: where they
    stand among the others, or where the overall mean stands when there is none.
    """
    values, codes = _coded(column)
    # Of several classes, the share of the most common one orders as well as any.
    scores = _scores(y, target)
    scores = scores[:, [int(scores.mean(axis=0).argmax())]]
    counts, sums = _sums(codes, scores, len(values))
    prior = scores.mean(axis=0)
    means = _features(counts, sums, prior)[:, 0]
    rare = counts < RARE
    if rare.any():
        prior = (sums[rare].sum(axis=0) + SMOOTHING * prior) / (counts[rare].sum() + SMOOTHING)
    common = [index for index in np.argsort(means, kind="stable") if not rare[index]]
    place = float(sum(means[index] < prior[0] for index in common)) - 0.5
    table = {values[index]: [float(code)] for code, index in enumerate(common)}
    table |= {values[index]: [place] for index in np.flatnonzero(rare)}
    return table, [place]
