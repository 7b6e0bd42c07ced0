"""Rows of a table as the multivariate test reads them: one float a view."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import encode_distinct
from shipway.components.lib.drift.bins import common_values
from shipway.components.lib.drift.columns import View, view_numbers, view_texts
from shipway.components.lib.drift.histograms import CategoryHistogram, Histogram


def domain_features(
    pairs: Sequence[tuple[View, Histogram, Histogram]], sample: pa.Table
) -> np.ndarray:
    """Make rows for the model that tells two tables apart.

    A category is the place of its value among the frequent ones of both tables; all others share
    one, or the trees would learn which rare values happen to stand in which table.

    Args:
        pairs: a view, and its histograms in the baseline and the current table.
        sample: of either table.

    Returns:
        float32 of shape (rows, views), NaN for what is missing.
    """
    rows = np.full((sample.num_rows, len(pairs)), math.nan, dtype=np.float32)
    for index, (view, base, current) in enumerate(pairs):
        if view.column not in sample.column_names:
            continue
        column = sample.column(view.column)
        if isinstance(base, CategoryHistogram) and isinstance(current, CategoryHistogram):
            places = {name: float(i) for i, name in enumerate(common_values(base, current))}
            rows[:, index] = _placed(column, places)
        else:
            with np.errstate(over="ignore"):
                values = view_numbers(view, column).astype(np.float32)
            rows[:, index] = np.where(np.isfinite(values), values, np.nan)
    return rows


def _placed(column: pa.ChunkedArray, places: dict[str, float]) -> np.ndarray:
    other = float(len(places))
    return encode_distinct(view_texts(column), lambda name: (places.get(name, other),), 1)[:, 0]
