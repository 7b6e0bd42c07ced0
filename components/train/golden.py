"""Golden rows: raw rows that the endpoint must answer as training did."""

from typing import Any

import numpy as np
import pyarrow as pa

from shipway.components.lib.scoring import Prediction
from shipway.components.lib.tables import to_rows

ROWS = 32
WITH_NULLS = 8


def golden_rows(table: pa.Table, prediction: Prediction) -> list[dict[str, Any]]:
    """Choose rows that spread over the predictions, some of them with missing cells.

    Args:
        table: validation rows, raw, of the model's columns only.
        prediction: of the same rows.

    Returns:
        At most 32 rows as JSON objects.
    """
    if prediction.values is not None:
        score = prediction.values
    else:
        assert prediction.probabilities is not None
        score = prediction.probabilities[:, -1]
    nulls = np.zeros(table.num_rows, dtype=bool)
    for column in table.columns:
        if column.null_count:
            nulls |= column.is_null().to_numpy()
    order = np.argsort(score, kind="stable")
    chosen = set(_spread(order, ROWS - WITH_NULLS)) | set(_spread(order[nulls[order]], WITH_NULLS))
    return to_rows(table.take(sorted(chosen)))


def _spread(order: np.ndarray, count: int) -> list[int]:
    if len(order) <= count:
        return [int(row) for row in order]
    places = np.linspace(0, len(order) - 1, count).round().astype(int)
    return [int(row) for row in order[places]]
