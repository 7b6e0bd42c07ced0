"""How a cell becomes numbers: one definition, for serving and, by `lib/columns.py`, for tables."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from shipway.components.lib.words import parse_boolean, parse_moment, parse_number

Encoder = Callable[[Any], Sequence[float]]
EPOCH_DAY = 719_163  # datetime.date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class ColumnPlan:
    """What becomes of one raw column.

    Attributes:
        name: the raw column.
        kind: "number", "text_number", "boolean", "datetime", "category" or "category_many".
        dtype: what a caller sends: "number", "string" or "boolean".
        outputs: names of the features made of it.
        reason: why it is of this kind.
        nullable: whether training rows had it missing.
        minimum: smallest number seen in training; None where it is no number.
        maximum: largest number seen in training.
        categories: the values seen in training, of a category with few.
        parts: of a datetime, which parts of it are features.
        table: of a category, the features by value.
        unseen: of a category, the features of a value that training did not see.
    """

    name: str
    kind: str
    dtype: str
    outputs: list[str]
    reason: str
    nullable: bool
    minimum: float | None = None
    maximum: float | None = None
    categories: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    table: dict[str, list[float]] = field(default_factory=dict)
    unseen: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def _number(value: Any) -> Sequence[float]:
    try:
        number = float(value)
    except OverflowError:  # JSON's whole numbers have no bound
        return (math.nan,)
    return (number,) if math.isfinite(number) else (math.nan,)


def _text_number(value: Any) -> Sequence[float]:
    return (parse_number(value),) if isinstance(value, str) else _number(value)


def _boolean(value: Any) -> Sequence[float]:
    return (parse_boolean(value),) if isinstance(value, str) else (float(value),)


def _datetime(parts: Sequence[str]) -> Encoder:
    missing = (math.nan,) * len(parts)

    def encode(value: Any) -> Sequence[float]:
        moment = parse_moment(value)
        if moment is None:
            return missing
        seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
        everything = {
            "month": moment.month,
            "day": moment.day,
            "weekday": moment.weekday(),
            "hour": moment.hour + moment.minute / 60,
            "days": moment.toordinal() - EPOCH_DAY + seconds / 86_400,
        }
        return [float(everything[part]) for part in parts]

    return encode


def _category(table: dict[str, list[float]], unseen: Sequence[float]) -> Encoder:
    def encode(value: Any) -> Sequence[float]:
        return table.get(value if value in table else str(value).strip(), unseen)

    return encode


def encoder_of(plan: ColumnPlan) -> Encoder:
    """The function that makes features of one cell that is not missing."""
    if plan.kind == "datetime":
        return _datetime(plan.parts)
    if plan.kind in ("category", "category_many"):
        return _category(plan.table, plan.unseen)
    return {"number": _number, "text_number": _text_number, "boolean": _boolean}[plan.kind]


def encode_cells(plan: ColumnPlan, cells: Sequence[Any]) -> np.ndarray:
    """As `columns.encode_column`, of cells as JSON gives them.

    Args:
        plan: of the column.
        cells: n numbers, texts or booleans, None for missing.
    """
    if plan.kind == "number":
        try:
            array = np.array(cells, dtype=np.float64)
        except OverflowError:  # JSON's whole numbers have no bound
            array = np.array([math.nan if c is None else _number(c)[0] for c in cells])
        array[~np.isfinite(array)] = math.nan
        return array[:, None]
    encode, missing = encoder_of(plan), (math.nan,) * len(plan.outputs)
    distinct = list(dict.fromkeys(cells))
    table = [missing if cell is None else encode(cell) for cell in distinct]
    places = {cell: place for place, cell in enumerate(distinct)}
    codes = np.fromiter(map(places.__getitem__, cells), dtype=np.intp, count=len(cells))
    features = np.array(table, dtype=np.float64).reshape(-1, len(plan.outputs))
    return np.asarray(features[codes])
