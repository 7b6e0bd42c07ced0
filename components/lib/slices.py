"""Slices: the parts of the test rows that a model is also measured on, a value of a column each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.held_out import HeldOut, rows_of
from shipway.components.lib.metrics import (
    MAIN_METRIC,
    bootstrap_intervals,
    compute_metrics,
    paired_difference,
)
from shipway.components.lib.private import is_private, unnamed_value
from shipway.components.lib.queries import units_of
from shipway.components.lib.scoring import Prediction
from shipway.components.lib.tables import json_value, read_schema, read_table

MAX_COLUMNS = 5
MAX_VALUES = 8
MAX_VALUES_ASKED = 30
MAX_CANDIDATES = 200
MIN_ROWS = 50
MIN_CLASS_ROWS = 10
MIN_QUERIES = 20
ROUNDS = 100
RANGES = 4
MISSING = "(missing)"


@dataclass(frozen=True)
class Slice:
    """A named part of the test rows: `rows` is a mask of shape (n,).

    Of a private column the name tells a number and no value: it stands on pages.
    """

    name: str
    rows: np.ndarray


def choose_slices(test: Path, label: str, columns: Sequence[str] = ()) -> list[Slice]:
    """The slices of the given columns, or of a few that suit.

    Without columns: the first five columns of text or booleans that hold 2 to 8 values and are not
    private. A column that was asked for is taken whatever it holds: numbers in four ranges of
    about as many rows, else its 30 most frequent values.

    Raises:
        ConfigurationError: a column is not in the test table, or is the label.
    """
    schema = read_schema(test)
    for name in columns:
        if name not in schema.names or name == label:
            why = "is the label" if name == label else "is not in the test table"
            others = [other for other in schema.names if other != label]
            raise ConfigurationError(
                f"slice_columns names '{name}', which {why}.{nearest(name, others)} "
                f"It has: {', '.join(others[:20])}."
            )
    if columns:
        return [part for name in dict.fromkeys(columns) for part in slices_of(test, name)]
    slices: list[Slice] = []
    found = 0
    suited = [
        field.name
        for field in schema
        if field.name != label and _is_category(field.type) and not is_private(field)
    ]
    for name in suited[:MAX_CANDIDATES]:
        parts = _slices(test, name, asked=False)
        slices += parts
        found += bool(parts)
        if found == MAX_COLUMNS:
            break
    return slices


def slices_of(test: Path, name: str, *, by_value: bool = False) -> list[Slice]:
    """The slices of one column, whatever it holds: ranges of numbers, else its frequent values.

    Args:
        test: Dataset directory of the test rows.
        name: the column.
        by_value: name the values of a private column, too; for an owner who asked for them.
    """
    parts = _slices(test, name, asked=True)
    if by_value or not is_private(read_schema(test).field(name)):
        return parts
    return [unnamed(name, number, part) for number, part in enumerate(parts, 1)]


def unnamed(column: str, number: int, part: Slice) -> Slice:
    """A slice of a private column, told from the others by its number."""
    return Slice(unnamed_value(column, number), part.rows)


def measure_slices(
    slices: Sequence[Slice], held: HeldOut, constant: Prediction
) -> list[dict[str, Any]]:
    """The metrics of each slice, and how much its main metric beats a constant's on its rows.

    Args:
        slices: as `choose_slices` gives them.
        held: all test rows, scored.
        constant: the baseline's prediction of all test rows.

    Returns:
        A JSON object a slice: slice, n, metrics; where rows are enough for an interval to mean
        something (50, and 10 of each class of a binary task, or 20 queries) also interval
        (of the main metric) and gain (over the constant, positive is better).
    """
    main = MAIN_METRIC[held.target.task]
    measured = []
    for part in slices:
        y, prediction = held.y[part.rows], rows_of(held.prediction, part.rows)
        entry: dict[str, Any] = {
            "slice": part.name,
            "n": len(y),
            "metrics": compute_metrics(held.target, y, prediction),
        }
        if is_enough(held.target.task, y) and main in entry["metrics"]:
            ends = bootstrap_intervals(held.target, y, prediction, [main], rounds=ROUNDS).get(main)
            entry["interval"] = list(ends) if ends else None
            gain = paired_difference(
                held.target, y, prediction, rows_of(constant, part.rows), main, rounds=ROUNDS
            )
            if gain is not None:
                entry["gain"] = {"value": gain.value, "low": gain.low, "high": gain.high}
        measured.append(entry)
    return measured


def is_enough(task: str, y: np.ndarray) -> bool:
    """Whether resampling tells how sure a figure is: with one positive row, no round doubts it."""
    if task == "ranking":
        return units_of(y)[0] >= MIN_QUERIES
    if task == "binary" and min((y == 0).sum(), (y == 1).sum()) < MIN_CLASS_ROWS:
        return False
    return len(y) >= MIN_ROWS


def _slices(test: Path, name: str, asked: bool) -> list[Slice]:
    column = read_table(test, [name]).column(0)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    values = encoded.dictionary.to_pylist()
    if asked and number and len(values) > MAX_VALUES:
        return _ranges(name, pc.cast(column, pa.float64()).to_numpy())
    if not asked and not 2 <= len(values) <= MAX_VALUES:
        return []
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    counts = np.bincount(codes, minlength=len(values))
    order = np.argsort(-counts, kind="stable")[:MAX_VALUES_ASKED]
    return [Slice(f"{name}={_text(values[code])}", codes == code) for code in order]


def _ranges(name: str, numbers: np.ndarray) -> list[Slice]:
    """Numbers in ranges of about as many rows each; what is missing is a slice of its own."""
    known = np.isfinite(numbers)
    inner = np.quantile(numbers[known], np.linspace(0, 1, RANGES + 1)[1:-1]) if known.any() else []
    edges = np.unique(inner)
    place = np.searchsorted(edges, numbers, side="left")
    lows = [""] + [f"{edge:.6g} < " for edge in edges]
    highs = [f" <= {edge:.6g}" for edge in edges] + [""]
    slices = [
        Slice(f"{low}{name}{high}", known & (place == index))
        for index, (low, high) in enumerate(zip(lows, highs, strict=True))
    ]
    slices.append(Slice(f"{name}={MISSING}", ~known))
    return [part for part in slices if part.rows.any()]


def _is_category(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"  # as requests have it
    return MISSING if value is None else str(json_value(value))
