"""Why a row got its answer: exact TreeSHAP contributions, in terms of the raw columns."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.contributions import by_column, column_sums, feature_shares
from shipway.components.lib.features import FeaturePlan

PARALLEL_ROWS = 32


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions for n rows, to the margin of one class each, or to the value.

    Attributes:
        contributions: float64 of shape (n, columns), in the order of the raw columns.
        base_values: float64 of shape (n,): the margin of a row of which nothing is known.
        codes: of the classes that are explained, shape (n,); None for a regression.
    """

    contributions: np.ndarray
    base_values: np.ndarray
    codes: np.ndarray | None


class Explainer:
    """Explains the scores of one booster."""

    def __init__(self, booster: xgb.Booster, plan: FeaturePlan, threads: int = 1) -> None:
        """Take a booster and the plan that makes its features.

        Args:
            booster: the model; its own threads must be set to one.
            plan: says which features come of which raw column.
            threads: that explain one request.
        """
        self._booster = booster
        self._sums = column_sums(plan)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._threads = threads

    def __call__(self, rows: np.ndarray, codes: np.ndarray | None) -> Explanation:
        """Explain rows.

        Args:
            rows: the model's rows, float32 of shape (n, k).
            codes: of the class to explain for each row; None for a regression.
        """
        if self._pool is not None and len(rows) >= PARALLEL_ROWS:
            parts = np.array_split(rows, self._threads)
            shares = np.concatenate(list(self._pool.map(self._shares, parts)))
        else:
            shares = self._shares(rows)
        if shares.ndim == 3:  # one block for each of several classes
            assert codes is not None
            shares = shares[np.arange(len(shares)), codes]
        columns, base_values = by_column(shares, self._sums)
        return Explanation(columns, base_values, codes)

    def _shares(self, rows: np.ndarray) -> np.ndarray:
        return feature_shares(self._booster, rows)


def described(
    explanation: Explanation, names: Sequence[str], classes: Sequence[Any], top: int
) -> list[dict[str, Any]]:
    """An explanation as JSON objects, one a row.

    Args:
        explanation: of n rows.
        names: of the raw columns.
        classes: of a classification, in the order of their codes.
        top: the contributions to give, largest first, whatever their sign; 0 for all, in the order
            of the columns.
    """
    values = explanation.contributions.tolist()
    if top:
        order = np.argsort(-np.abs(explanation.contributions), axis=1, kind="stable")
        kept = order[:, :top].tolist()
    else:
        kept = [range(len(names))] * len(values)
    rows = [
        {
            "base_value": base,
            "contributions": {names[index]: row[index] for index in indices},
        }
        for base, row, indices in zip(explanation.base_values.tolist(), values, kept, strict=True)
    ]
    if explanation.codes is not None:
        for row_described, code in zip(rows, explanation.codes.tolist(), strict=True):
            row_described["explained_class"] = classes[code]
    return rows
