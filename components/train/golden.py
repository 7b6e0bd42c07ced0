"""Golden rows: raw rows that the endpoint must answer as training did."""

from typing import Any

import numpy as np

from shipway.components.lib.errors import DataError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.scoring import CHUNK, Prediction
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.tables import to_rows

ROWS = 32
WITH_NULLS = 8


def golden_rows(
    table: StoredTable, plan: FeaturePlan, matrix: np.ndarray, prediction: Prediction
) -> list[dict[str, Any]]:
    """Choose rows that spread over the predictions, some of them with missing cells.

    Args:
        table: validation rows, raw.
        plan: the feature plan.
        matrix: the model's rows of them.
        prediction: of the same rows.

    Returns:
        At most 32 rows as JSON objects.

    Raises:
        DataError: no row can be asked for.
    """
    if prediction.values is not None:
        score = prediction.values
    else:
        assert prediction.probabilities is not None
        score = prediction.probabilities[:, -1]
    # The server refuses what training never saw missing, so such rows prove nothing.
    widths = [len(column.outputs) for column in plan.columns]
    required = np.repeat([not column.nullable for column in plan.columns], widths)
    nulls = _lacking(matrix, np.ones(sum(widths), dtype=bool))
    order = np.argsort(score, kind="stable")
    order = order[~_lacking(matrix, required)[order]]
    if not len(order):
        raise DataError(
            "Every validation row lacks a value that no training row lacks, so that none can prove "
            "an endpoint. Split otherwise: the rows differ too much."
        )
    chosen = set(_spread(order, ROWS - WITH_NULLS)) | set(_spread(order[nulls[order]], WITH_NULLS))
    return to_rows(table.take(sorted(chosen), [column.name for column in plan.columns]))


def _lacking(matrix: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Whether each row lacks one of some features, told in pieces: rows may stand on disk."""
    found = np.empty(len(matrix), dtype=bool)
    for start in range(0, len(matrix), CHUNK):
        piece = slice(start, start + CHUNK)
        found[piece] = np.isnan(matrix[piece, : len(places)][:, places]).any(axis=1)
    return found


def _spread(order: np.ndarray, count: int) -> list[int]:
    if len(order) <= count:
        return [int(row) for row in order]
    places = np.linspace(0, len(order) - 1, count).round().astype(int)
    return [int(row) for row in order[places]]
