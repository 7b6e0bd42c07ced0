"""Categories as statistics of the target, smoothed towards the overall mean.

The smoothing is that of D. Micci-Barreca, "A preprocessing scheme for high-cardinality categorical
attributes in classification and prediction problems", SIGKDD Explorations 3(1), 2001:
(sum + m * prior) / (count + m).
"""

import math

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


def fold_statistics(
    column: pa.ChunkedArray, y: np.ndarray, target: Target, folds: np.ndarray
) -> np.ndarray:
    """As `category_statistics`, for each training row from the other folds' rows.

    Returns:
        float64 of shape (n, len(statistic_names(target))), NaN for a missing category.
    """
    values, codes = _coded(column)
    scores = _scores(y, target)
    result = np.full((len(y), scores.shape[1] + 1), math.nan)
    counts, sums = _sums(codes, scores, len(values))
    for fold in np.unique(folds):
        inside = folds == fold
        fold_counts, fold_sums = _sums(codes[inside], scores[inside], len(values))
        prior = scores[~inside].mean(axis=0) if (~inside).any() else scores.mean(axis=0)
        features = _features(counts - fold_counts, sums - fold_sums, prior)
        rows = inside & (codes >= 0)
        result[rows] = features[codes[rows]]
    # The count is no secret of the label: all rows' count, as serving will have it.
    result[codes >= 0, -1] = np.log1p(counts)[codes[codes >= 0]]
    return result


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
