"""How a cell becomes numbers: one definition, for serving and, by `lib/columns.py`, for tables."""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from shipway.components.lib.clocks import clock_of_code, parse_clock, parse_duration
from shipway.components.lib.ngrams import hashed
from shipway.components.lib.words import parse_boolean, parse_moment, parse_number

Encoder = Callable[[Any], Sequence[float]]
EPOCH_DAY = 719_163  # datetime.date(1970, 1, 1).toordinal()
CODED = ("category", "category_many", "ordered")  # kinds whose values are looked up in a table


@dataclass(frozen=True)
class ColumnPlan:
    """What becomes of one raw column.

    Attributes:
        name: the raw column.
        kind: "number", "text_number", "boolean", "datetime", "clock", "duration", "text",
            "coordinates", or one of `CODED`.
        dtype: what a caller sends: "number", "string" or "boolean".
        outputs: names of the features made of it.
        reason: why it is of this kind.
        nullable: whether training rows had it missing.
        minimum: smallest number seen in training; None where it is no number.
        maximum: largest number seen in training.
        categories: the values seen in training, of a category with few.
        parts: of a date or a time of day, which parts of it are features.
        table: of a category, the features by value.
        unseen: of a category, the features of a value that training did not see.
        other: a second raw column that features are made with; see `lib/pairs.py`.
        origin: where distances or ages are measured from.
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
    other: str = ""
    origin: list[float] = field(default_factory=list)

    @cached_property
    def lookup(self) -> Mapping[Any, Sequence[float]]:
        """The features by cell, of a kind in `CODED`: by text, or by whole number."""
        if self.dtype != "number":
            return self.table
        return {int(value): features for value, features in self.table.items()}

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


def days_of(moment: datetime.datetime) -> float:
    """Days since 1970, with their parts."""
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    return moment.toordinal() - EPOCH_DAY + seconds / 86_400


_PARTS: dict[str, Callable[[datetime.datetime], float]] = {
    "year": lambda moment: moment.year,
    "month": lambda moment: moment.month,
    "day": lambda moment: moment.day,
    "weekday": lambda moment: moment.weekday(),
    "hour": lambda moment: moment.hour + moment.minute / 60,
    "days": days_of,
}
_CYCLES = {"month": 12, "day": 31, "weekday": 7, "hour": 24}
DATE_PARTS = (*_PARTS, *(f"{part}.{wave}" for part in _CYCLES for wave in ("sin", "cos")))
CLOCK_PARTS = ("minutes", "sin", "cos")


def _part(name: str, origin: Sequence[float]) -> Callable[[datetime.datetime], float]:
    if name == "age":
        start = origin[0] if origin else 0.0
        return lambda moment: days_of(moment) - start
    part, _, wave = name.partition(".")
    read = _PARTS[part]
    if not wave:
        return read
    turn, period = math.sin if wave == "sin" else math.cos, math.tau / _CYCLES[part]
    return lambda moment: turn(read(moment) * period)


def _datetime(parts: Sequence[str], origin: Sequence[float]) -> Encoder:
    missing = (math.nan,) * len(parts)
    read = [_part(name, origin) for name in parts]

    def encode(value: Any) -> Sequence[float]:
        moment = parse_moment(value)
        return missing if moment is None else [float(part(moment)) for part in read]

    return encode


def _clock(parts: Sequence[str]) -> Encoder:
    def encode(value: Any) -> Sequence[float]:
        minutes = parse_clock(value) if isinstance(value, str) else clock_of_code(value)
        turn = minutes * (math.tau / 1_440)
        everything = {"minutes": minutes, "sin": math.sin(turn), "cos": math.cos(turn)}
        return [everything[part] for part in parts]

    return encode


def _coded(plan: ColumnPlan) -> Encoder:
    table, unseen = plan.lookup, plan.unseen
    if plan.dtype != "number":
        return lambda value: table.get(value if value in table else str(value).strip(), unseen)
    missing = (math.nan,) * len(unseen)

    def encode(value: Any) -> Sequence[float]:
        known = table.get(value)  # 3 and 3.0 are one key
        if known is not None:
            return known
        return missing if isinstance(value, float) and not math.isfinite(value) else unseen

    return encode


def encoder_of(plan: ColumnPlan) -> Encoder:
    """The function that makes features of one cell that is not missing.

    Where the plan names another column, `lib/pairs.py` completes what it makes.
    """
    width = len(plan.outputs)
    if plan.kind == "datetime":
        return _datetime(plan.parts, plan.origin)
    if plan.kind == "clock":
        return _clock(plan.parts)
    if plan.kind == "text":
        return lambda value: hashed(value, width)
    if plan.kind == "coordinates":
        return lambda value: [*_number(value)] * width
    if plan.kind in CODED:
        return _coded(plan)
    return _SIMPLE[plan.kind]


_SIMPLE: dict[str, Encoder] = {
    "number": _number,
    "text_number": _text_number,
    "boolean": _boolean,
    "duration": lambda value: (parse_duration(value),),
}


def encode_cells(plan: ColumnPlan, cells: Sequence[Any] | np.ndarray) -> np.ndarray:
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
