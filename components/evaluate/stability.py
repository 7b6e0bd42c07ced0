"""Stability over time: the main metric by period of the test rows, and whether it wears off."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.held_out import HeldOut, rows_of
from shipway.components.lib.metrics import (
    HIGHER_IS_BETTER,
    MAIN_METRIC,
    Interval,
    bootstrap_intervals,
    compute_metrics,
)
from shipway.components.lib.moments import times_of
from shipway.components.lib.private import PRIVATE, private_columns
from shipway.components.lib.queries import units_of
from shipway.components.lib.slices import is_enough
from shipway.components.lib.tables import read_schema, read_table

PERIODS = 6
MIN_ROWS = 100
ROUNDS = 100


def stability(test: Path, time_column: str, held: HeldOut) -> dict[str, Any]:
    """The main metric by period, and the first half of the time against the second.

    Args:
        test: Dataset directory of the test rows.
        time_column: orders the rows; empty measures nothing.
        held: the test rows, scored.

    Returns:
        A JSON object: column, metric, periods (from, to, n, value, low, high), wear (how much
        worse the second half is, with its interval); empty where there is no order to go by.

    Raises:
        ConfigurationError: the column is not in the test table.
    """
    if not time_column:
        return {}
    schema = read_schema(test)
    names = schema.names
    if time_column not in names:
        raise ConfigurationError(
            f"time_column names '{time_column}', which is not in the test table."
            f"{nearest(time_column, names)} Name one that is, or leave it empty."
        )
    column = read_table(test, [time_column]).column(0)
    moments, queries = times_of(column), units_of(held.y)[1]
    if queries is not None:
        moments = _of_queries(moments, queries)
    known = np.flatnonzero(np.isfinite(moments))
    main = MAIN_METRIC[held.target.task]
    if len(known) < MIN_ROWS or len(np.unique(moments[known])) < PERIODS:
        return {}
    ordered = known[np.argsort(moments[known], kind="stable")]
    cuts = _parts(ordered, queries, min(PERIODS, len(ordered) // (MIN_ROWS // 2)))
    periods = [_period(rows, column, held, main) for rows in cuts]
    if time_column in private_columns(schema):
        for number, period in enumerate(periods, 1):
            period["from"] = period["to"] = f"{PRIVATE} ({number})"
    found: dict[str, Any] = {
        "column": time_column,
        "metric": main,
        "periods": periods,
        "wear": None,
    }
    early, late = (_measured(rows, held, main) for rows in _parts(ordered, queries, 2))
    if early and late:
        found["wear"] = _gap(early, late) if HIGHER_IS_BETTER[main] else _gap(late, early)
    return found


def _gap(one: Interval, other: Interval) -> dict[str, float]:
    """One minus the other, of other rows: from their intervals, as of two shares.

    G. Zou and A. Donner, "Construction of confidence limits about effect measures: a general
    approach", Statistics in Medicine 27, 2008.
    """
    value = one.value - other.value
    down = math.hypot(one.value - one.low, other.high - other.value)
    up = math.hypot(one.high - one.value, other.value - other.low)
    return {"value": value, "low": value - down, "high": value + up}


def _of_queries(moments: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The moment of the first row of each row's query."""
    first = np.full(queries.max() + 1, np.inf)
    np.fmin.at(first, queries, moments)
    return np.asarray(first[queries])


def _parts(ordered: np.ndarray, queries: np.ndarray | None, count: int) -> list[np.ndarray]:
    """Rows in so many parts; of a ranking none of its queries is torn."""
    if queries is None:
        return np.array_split(ordered, count)
    names = queries[ordered]
    inside = names[np.sort(np.unique(names, return_index=True)[1])]
    return [ordered[np.isin(names, part)] for part in np.array_split(inside, count)]


def _measured(rows: np.ndarray, held: HeldOut, main: str) -> Interval | None:
    y, prediction = held.y[rows], rows_of(held.prediction, rows)
    value = compute_metrics(held.target, y, prediction).get(main)
    if value is None or not is_enough(held.target.task, y):
        return None
    ends = bootstrap_intervals(held.target, y, prediction, [main], rounds=ROUNDS).get(main)
    return Interval(value, *ends) if ends else None


def _period(rows: np.ndarray, column: pa.ChunkedArray, held: HeldOut, main: str) -> dict[str, Any]:
    ends = [str(column[int(row)].as_py()) for row in (rows[0], rows[-1])]
    period: dict[str, Any] = {"from": ends[0], "to": ends[1], "n": len(rows)}
    found = _measured(rows, held, main)
    return period | (asdict(found) if found else {"value": None, "low": None, "high": None})
