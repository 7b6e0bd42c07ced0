"""How a column's values move the answer: contributions by value, from the rows as they are."""

import math
from typing import Any

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import numbers
from shipway.components.lib.kinds import PARSED_SHARE, is_moment, is_number
from shipway.components.lib.measures import equal_mass_bins
from shipway.components.lib.private import PRIVATE
from shipway.components.lib.slices import MISSING
from shipway.components.lib.tables import json_value
from shipway.components.lib.words import parse_number

BINS = 10
VALUES = 12
FEW = 12
CLEAR = 0.6


def dependence(name: str, column: pa.ChunkedArray, moved: np.ndarray) -> dict[str, Any]:
    """Mean contributions by ranges of a number, or by the frequent values of anything else.

    Args:
        name: of the column.
        column: its raw cells.
        moved: its contributions to the margin, shape (n,).

    Returns:
        A JSON object: column, kind ("number" or "value"), points (value, n, mean, low and high:
        the 10th and 90th percentile), and for a number its trend: "up", "down" or "bent".
    """
    values = _as_number(column)
    if values is None or len(np.unique(values[np.isfinite(values)])) <= FEW:
        return {"column": name, "kind": "value", "points": _by_value(column, moved), "trend": ""}
    finite = np.isfinite(values)
    bins = equal_mass_bins(values[finite], BINS)
    points = []
    for number in np.unique(bins):
        rows = np.flatnonzero(finite)[bins == number]
        points.append({"value": float(np.median(values[rows]))} | _spread(moved[rows]))
    trend = _trend(values[finite], moved[finite])
    found: dict[str, Any] = {"column": name, "kind": "number", "points": points, "trend": trend}
    if not finite.all():
        found["missing"] = _spread(moved[~finite])
    return found


def without_values(shape: dict[str, Any]) -> dict[str, Any]:
    """The shape of a private column: its values are numbered; how they move the answer stays."""
    points = [
        point if point["value"] == MISSING else point | {"value": f"{PRIVATE} ({number})"}
        for number, point in enumerate(shape["points"], 1)
    ]
    return shape | {"kind": "private", "points": points}


def _as_number(column: pa.ChunkedArray) -> np.ndarray | None:
    if is_number(column.type):
        return numbers(column)
    if is_moment(column.type) or not column.null_count < len(column):
        return None
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    cells = column.to_pylist()
    parsed = np.array([math.nan if cell is None else parse_number(cell) for cell in cells])
    known = sum(1 for cell in cells if cell and cell.strip())
    return parsed if known and np.isfinite(parsed).sum() >= PARSED_SHARE * known else None


def _by_value(column: pa.ChunkedArray, moved: np.ndarray) -> list[dict[str, Any]]:
    cells = np.array(
        [MISSING if cell is None else str(json_value(cell)) for cell in column.to_pylist()]
    )
    names, codes, counts = np.unique(cells, return_inverse=True, return_counts=True)
    kept = np.argsort(-counts, kind="stable")[:VALUES]
    points = [{"value": str(names[code])} | _spread(moved[codes == code]) for code in kept]
    return sorted(points, key=lambda point: float(point["mean"]))


def _spread(moved: np.ndarray) -> dict[str, Any]:
    low, high = np.quantile(moved, [0.1, 0.9])
    return {"n": len(moved), "mean": float(moved.mean()), "low": float(low), "high": float(high)}


def _trend(values: np.ndarray, moved: np.ndarray) -> str:
    """Whether larger values move the answer one way, by the correlation of ranks."""
    ranks = [np.argsort(np.argsort(each, kind="stable")) for each in (values, moved)]
    if np.ptp(moved) == 0:
        return "bent"
    together = float(np.corrcoef(ranks[0], ranks[1])[0, 1])
    return "up" if together > CLEAR else "down" if together < -CLEAR else "bent"
