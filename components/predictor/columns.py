"""The raw columns that a model takes, and what a cell of each may hold."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from shipway.components.lib.clocks import clock_of_code, parse_clock, parse_duration
from shipway.components.lib.encoders import CODED
from shipway.components.lib.errors import nearest
from shipway.components.lib.words import parse_boolean, parse_moment, parse_number
from shipway.components.predictor.refusals import Refusal, listed, shown

EXPECTED = {"number": "a number", "string": "text", "boolean": "true or false"}
DATATYPES = {"number": "FP64", "string": "BYTES", "boolean": "BOOL"}
NUMBERS = frozenset({int, float})

Place = Callable[[int], str]


@dataclass(frozen=True)
class _Words:
    """Cells that stand for something else, and the JSON type that may come in their place."""

    expected: str
    also: frozenset[type]
    readable: Callable[[Any], bool]


WORDS = {
    "text_number": _Words("a number", NUMBERS, lambda text: not math.isnan(parse_number(text))),
    "boolean": _Words(
        "a word of yes or no", frozenset({bool}), lambda text: not math.isnan(parse_boolean(text))
    ),
    "datetime": _Words(
        "a date or time in ISO 8601", frozenset(), lambda text: parse_moment(text) is not None
    ),
    "clock": _Words(
        "a time of day, such as '13:45'",
        frozenset(),
        lambda text: not math.isnan(parse_clock(text)),
    ),
    "duration": _Words(
        "a duration, such as '1h 30m' or '00:12:30'",
        frozenset(),
        lambda text: not math.isnan(parse_duration(text)),
    ),
}
HHMM = _Words(
    "a time of day as hhmm, such as 1345",
    frozenset(),
    lambda code: not math.isnan(clock_of_code(code)),
)


@dataclass(frozen=True)
class InputColumn:
    """One raw column.

    Attributes:
        name: as it stands in the table.
        dtype: "number", "string" or "boolean": what a caller sends.
        kind: what the feature plan reads it as: "number", "text_number", "datetime", ...
        nullable: whether training had it missing.
        details: what else the metadata tells a caller: ranges and categories.
    """

    name: str
    dtype: str
    kind: str = ""
    nullable: bool = False
    details: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def words(self) -> _Words | None:
        """How its cells are read; None when they are taken as such."""
        if self.dtype == "number":
            return HHMM if self.kind == "clock" else None
        return WORDS.get(self.kind) if self.dtype == "string" else None

    @property
    def whole(self) -> bool:
        """Whether its numbers are no measures, but stand for categories."""
        return self.dtype == "number" and self.kind in CODED

    @property
    def measured(self) -> bool:
        """Whether it holds numbers that are taken as such."""
        return self.dtype == "number" and not self.whole and self.words is None

    @cached_property
    def accepted(self) -> frozenset[type]:
        """The Python types that a cell may have, besides null."""
        plain = {"number": NUMBERS, "string": frozenset({str})}.get(self.dtype, frozenset({bool}))
        return plain if self.words is None else plain | self.words.also

    @property
    def expected(self) -> str:
        """What a cell holds, for a message."""
        plain = self.words.expected if self.words is not None else EXPECTED[self.dtype]
        plain = "a whole number, which stands for a category" if self.whole else plain
        return plain + (" or null" if self.nullable else "")

    def check(self, values: list[Any], place: Place) -> list[Any]:
        """The cells of a request, when all may stand in this column.

        Args:
            values: one cell a row, as JSON gave them.
            place: tells where cell i stands, for a message.

        Returns:
            The cells in the column's own type: a number that came for text is given as text.

        Raises:
            Refusal: a cell is null or cannot be read where training never missed it, or is of
                another type.
        """
        kinds = set(map(type, values))
        allowed = self.accepted | {type(None)} if self.nullable else self.accepted
        if not kinds <= allowed:
            index = next(i for i, value in enumerate(values) if type(value) not in allowed)
            raise self._refusal(place(index), values[index])
        if self.whole:
            for index, value in enumerate(values if float in kinds else []):
                if type(value) is float and not value.is_integer():
                    raise self._refusal(place(index), value)
        if self.words is None:
            return values
        if kinds & self.words.also:
            values = [_as_text(value) for value in values]
        if not self.nullable:  # else training took what cannot be read for missing, as serving does
            unreadable = {text for text in set(values) if not self.words.readable(text)}
            for index, text in enumerate(values if unreadable else []):
                if text in unreadable:
                    raise self._refusal(place(index), text)
        return values

    def _refusal(self, where: str, value: Any) -> Refusal:
        if value is None:
            return Refusal(
                f"{where} is null, and training never had it missing; send {self.expected}.",
                cause="null",
            )
        return Refusal(f"{where} must be {self.expected}; {shown(value)} came.", cause="wrong_type")


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, (int, float)) else value


class Schema:
    """The columns of a model in the order of list rows, and those it accepts and does not use."""

    def __init__(self, columns: Sequence[InputColumn], ignored: Sequence[str] = ()) -> None:
        """Index the columns by name."""
        self.columns = tuple(columns)
        self.by_name = {column.name: column for column in self.columns}
        self.names = tuple(self.by_name)
        self.known = frozenset(self.names) | frozenset(ignored)

    def missing(self, where: str, name: str, given: Sequence[str]) -> Refusal:
        """The refusal of a request without a column, with the misspelt name if there is one."""
        strangers = [stranger for stranger in given if stranger not in self.known]
        hint = nearest(name, strangers).replace("Did you mean", "It has")
        return Refusal(
            f"{where} lacks the column '{name}' ({self.by_name[name].expected}).{hint}",
            cause="missing_column",
        )

    def unknown(self, where: str, name: str) -> Refusal:
        """The refusal of a column that the model does not know."""
        return Refusal(
            f"{where} has the column '{name[:60]}', which this model does not know."
            f"{nearest(name[:60], self.names)} It takes {listed(list(self.names))}.",
            cause="unknown_column",
        )
