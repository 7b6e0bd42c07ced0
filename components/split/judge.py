"""How well features predict the label on rows that they were not fitted on, by a small tree.

A tree finds thresholds, ranges and gaps of missing values alike.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shipway.components.lib.task import Target

DEPTH, REGRESSION_DEPTH = 4, 8
FEW_ROWS = 2_000
FOLDS = 5
SUSPICIOUS = 0.9
BINS = 32


@dataclass(frozen=True)
class Score:
    """What a column, or its ratio to another, tells of the label.

    Attributes:
        column: the raw column.
        value: AUC (mean over the classes), or R2 of a regression.
        proven: the value less two standard errors, so that few rows prove little.
        rows: rows that were predicted.
        pair: what was made of it and another column; empty for the column alone.
    """

    column: str
    value: float
    proven: float
    rows: int
    pair: str = ""


class Judge:
    """Scores features: fitted on training rows, judged on validation rows.

    Where those are few, both together are judged fold by fold, as a small share proves nothing.
    """

    def __init__(self, target: Target, training: pa.ChunkedArray, held_out: pa.ChunkedArray):
        """Take the labels of both samples."""
        self._target = target
        self._known, self._truth = target.encode(training), target.encode(held_out)
        self._folded = len(held_out) < FEW_ROWS
        if self._folded:
            self._truth = np.concatenate([self._known, self._truth])
            self._folds = np.random.default_rng(0).permutation(len(self._truth)) % FOLDS
        counts = np.bincount(self._truth, minlength=2) if target.classes else np.array([0])
        self._rarest = int(counts.min())

    @property
    def rows(self) -> int:
        """Rows that are predicted."""
        return len(self._truth)

    @property
    def _judged_classes(self) -> range:
        """Codes of the classes whose AUC is taken: of two, one says all."""
        return range(1 if self._target.task == "binary" else 0, len(self._target.classes))

    def is_suspicious(self, known: np.ndarray) -> bool:
        """Whether bins of one feature tell enough of the label to grow trees; shape (n, k).

        It looks at the rows that it bins, so it errs to the side of growing one.
        """
        return any(self.binned_value(feature) >= SUSPICIOUS for feature in known.T)

    def binned_value(self, feature: np.ndarray, rows: np.ndarray | None = None) -> float:
        """What bins of one feature tell of the training rows that they are made of; shape (n,).

        Args:
            feature: a value for each of the training rows, or for `rows` of them.
            rows: indices of training rows; all of them when not given.
        """
        y = self._known if rows is None else self._known[rows]
        codes = _bins(feature)
        counts = np.maximum(np.bincount(codes), 1)
        if self._target.kind.numeric:  # of ranks, as bins say little of a long tail
            ranks = np.argsort(np.argsort(y, kind="stable")).astype(np.float64)
            means = np.bincount(codes, weights=ranks) / counts
            return _r2(ranks, means[codes])
        values = []
        for code in self._judged_classes:
            positive = y == code
            shares = np.bincount(codes, weights=positive) / counts
            values.append(area_under_roc(positive, shares[codes]))
        return float(np.mean(values))

    def score(self, known: np.ndarray, asked: np.ndarray, column: str, pair: str = "") -> Score:
        """Score some features of the training sample and the held-out one, float of (n, k)."""
        if self._folded:
            rows = np.vstack([known, asked])
            predicted = np.empty((self.rows, max(len(self._target.classes), 1)))
            for fold in range(FOLDS):
                out = self._folds == fold
                predicted[out] = self._predict(rows[~out], self._truth[~out], rows[out])
        else:
            predicted = self._predict(known, self._known, asked)
        if self._target.kind.numeric:
            value = _r2(self._truth, predicted[:, 0])
            return Score(column, value, value, self.rows, pair)
        areas = [
            area_under_roc(self._truth == code, predicted[:, code]) for code in self._judged_classes
        ]
        value = float(np.mean(areas))
        # As for the upper bound of J. A. Hanley and B. J. McNeil, Radiology 143(1), 1982: the error
        # of a share among the rarest class, and never that of certainty.
        spread = max(value * (1 - value), 1 / self.rows)
        proven = value - 2 * float(np.sqrt(spread / max(self._rarest, 1)))
        return Score(column, value, proven, self.rows, pair)

    def _predict(self, rows: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        leaf = max(5, len(y) // 1000)
        rows, asked = (np.ascontiguousarray(x, dtype=np.float32) for x in (rows, asked))
        tree: Any
        if self._target.kind.numeric:
            tree = DecisionTreeRegressor(
                max_depth=REGRESSION_DEPTH, min_samples_leaf=leaf, random_state=0
            )
            return np.asarray(tree.fit(rows, y).predict(asked))[:, None]
        tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=leaf, random_state=0)
        tree.fit(rows, y)
        result = np.zeros((len(asked), len(self._target.classes)))
        result[:, tree.classes_] = tree.predict_proba(asked)
        return result


def _bins(feature: np.ndarray) -> np.ndarray:
    """Codes of bins of about equal rows, equal values together, missing ones apart."""
    finite = np.sort(feature[~np.isnan(feature)])
    if not len(finite):
        return np.zeros(len(feature), dtype=np.int64)
    edges = np.unique(finite[np.linspace(0, len(finite) - 1, BINS + 1).astype(int)])
    codes = np.searchsorted(edges, feature, side="right")
    return np.where(np.isnan(feature), len(edges) + 1, codes)


def area_under_roc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half; 0.5 where a class has no row."""
    _, codes = np.unique(scores, return_inverse=True)
    hits = np.bincount(codes, weights=positive)
    misses = np.bincount(codes) - hits
    pairs = hits.sum() * misses.sum()
    below = np.cumsum(misses) - misses / 2
    return float((hits * below).sum() / pairs) if pairs else 0.5


def _r2(truth: np.ndarray, predicted: np.ndarray) -> float:
    spread = float(((truth - truth.mean(dtype=np.float64)) ** 2).sum(dtype=np.float64))
    error = float(((truth - predicted) ** 2).sum(dtype=np.float64))
    return 1 - error / spread if spread else 0.0
