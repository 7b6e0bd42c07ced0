"""Stability over time: the main metric by period of the test rows, and whether it wears off."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import encode_distinct
from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.held_out import HeldOut, rows_of
from shipway.components.lib.kinds import is_moment, is_number
from shipway.components.lib.metrics import (
    HIGHER_IS_BETTER,
    MAIN_METRIC,
    compute_metrics,
    metric_draws,
)
from shipway.components.lib.private import PRIVATE, private_columns
from shipway.components.lib.queries import units_of
from shipway.components.lib.slices import is_enough
from shipway.components.lib.tables import read_schema, read_table
from shipway.components.lib.words import parse_moment

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
    moments, queries = _seconds(column), units_of(held.y)[1]
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
    halves = _parts(ordered, queries, 2)
    draws = [_draws(rows, held, main, seed) for seed, rows in enumerate(halves)]
    if all(each is not None for each in draws):
        (early, first), (late, second) = draws  # type: ignore[misc]
        sign = 1 if HIGHER_IS_BETTER[main] else -1
        low, high = np.nanquantile(sign * (first - second), [0.025, 0.975])
        found["wear"] = {"value": sign * (early - late), "low": float(low), "high": float(high)}
    return found


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


def _draws(
    rows: np.ndarray, held: HeldOut, main: str, seed: int
) -> tuple[float, np.ndarray] | None:
    y, prediction = held.y[rows], rows_of(held.prediction, rows)
    value = compute_metrics(held.target, y, prediction).get(main)
    if value is None or not is_enough(held.target.task, y):
        return None
    return value, metric_draws(held.target, y, prediction, main, rounds=ROUNDS, seed=seed)


def _period(rows: np.ndarray, column: pa.ChunkedArray, held: HeldOut, main: str) -> dict[str, Any]:
    ends = [str(column[int(row)].as_py()) for row in (rows[0], rows[-1])]
    period: dict[str, Any] = {"from": ends[0], "to": ends[1], "n": len(rows)}
    found = _draws(rows, held, main, 0)
    if found is None:
        return period | {"value": None, "low": None, "high": None}
    low, high = np.nanquantile(found[1], [0.025, 0.975])
    return period | {"value": found[0], "low": float(low), "high": float(high)}


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    """A column that orders rows, as numbers; NaN for what is missing or no moment."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_number(column.type):
        return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    if is_moment(column.type):
        whole = column.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64())
        return np.asarray(whole.to_numpy(), dtype=np.float64)

    def seconds(cell: Any) -> tuple[float]:
        moment = parse_moment(str(cell))
        if moment is None:
            return (np.nan,)
        return ((moment.replace(tzinfo=None) - _EPOCH).total_seconds(),)

    return encode_distinct(column, seconds, 1)[:, 0]


_EPOCH = datetime.datetime(1970, 1, 1)
