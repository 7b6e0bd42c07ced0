"""What training rows and predictions looked like: what the monitor compares with later."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.columns import numbers
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.kinds import is_number
from shipway.components.lib.scoring import Prediction
from shipway.components.lib.stored_table import StoredTable

BINS = 20
VALUES = 50
SAMPLE = 200_000  # rows that quantiles are taken of at most: more would move them by 0.1 percent


def baseline_of(plan: FeaturePlan, rows: StoredTable, prediction: Prediction) -> dict[str, Any]:
    """Statistics of the raw columns in training, and of the predictions on validation rows.

    Returns:
        JSON values by file name: "features" and "prediction".
    """
    features = {column.name: _column(rows.column(column.name)) for column in plan.columns}
    if prediction.values is not None:
        return {"features": features, "prediction": {"value": _quantiles(prediction.values)}}
    assert prediction.probabilities is not None
    assert prediction.labels is not None
    classes = [str(value) for value in plan.target.classes]
    answers = np.bincount(prediction.labels, minlength=len(classes)) / len(prediction.labels)
    return {
        "features": features,
        "prediction": {
            "answers": dict(zip(classes, answers.tolist(), strict=True)),
            "probabilities": {
                name: _quantiles(prediction.probabilities[:, index])
                for index, name in enumerate(classes)
            },
        },
    }


def _drawn(rows: int) -> np.ndarray:
    """Which of many rows quantiles are taken of: drawn, as rows may stand in a rhythm."""
    return np.random.default_rng(0).integers(0, rows, SAMPLE)


def _quantiles(values: np.ndarray) -> list[float]:
    if len(values) > SAMPLE:
        values = values[_drawn(len(values))]
    known = values[~np.isnan(values)]
    return [float(q) for q in np.quantile(known, np.linspace(0, 1, BINS + 1))] if len(known) else []


def _column(column: pa.ChunkedArray) -> dict[str, Any]:
    missing = column.null_count / max(len(column), 1)
    if is_number(column.type):
        if len(column) > SAMPLE:
            column = column.take(pa.array(_drawn(len(column))))
        return {"missing": missing, "quantiles": _quantiles(numbers(column))}
    counts = pc.value_counts(column.cast(pa.string()).drop_null()).to_pylist()
    counts.sort(key=lambda entry: (-entry["counts"], entry["values"]))
    known = max(len(column) - column.null_count, 1)
    return {
        "missing": missing,
        "distinct": len(counts),
        "shares": {entry["values"]: entry["counts"] / known for entry in counts[:VALUES]},
    }
