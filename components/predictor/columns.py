"""The raw columns that a model takes, and what a cell of each may hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shipway.components.lib.errors import nearest
from shipway.components.predictor.refusals import Refusal, listed, shown

EXPECTED = {"number": "a number", "string": "text", "boolean": "true or false"}
ACCEPTED: dict[str, frozenset[type]] = {
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "boolean": frozenset({bool}),
}
DATATYPES = {"number": "FP64", "string": "BYTES", "boolean": "BOOL"}

Place = Callable[[int], str]


@dataclass(frozen=True)
class InputColumn:
    """One raw column.

    Attributes:
        name: as it stands in the table.
        dtype: "number", "string" or "boolean".
        kind: what the feature plan makes of it, such as "numeric" or "numeric_text".
        nullable: whether training saw it missing.
        details: what else the metadata tells a caller: ranges and categories.
    """

    name: str
    dtype: str
    kind: str = ""
    nullable: bool = False
    details: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def expected(self) -> str:
        """What a cell holds, for a message."""
        return EXPECTED[self.dtype] + (" or null" if self.nullable else "")

    def check(self, values: list[Any], place: Place) -> list[Any]:
        """The cells of a request, when all may stand in this column.

        Args:
            values: one cell a row, as JSON gave them.
            place: tells where cell i stands, for a message.

        Raises:
            Refusal: a cell is null where training never saw one, or is of another type.
        """
        accepted = ACCEPTED[self.dtype]
        kinds = set(map(type, values))
        if kinds <= accepted or (self.nullable and kinds <= accepted | {type(None)}):
            return values
        for index, value in enumerate(values):
            if type(value) in accepted or (value is None and self.nullable):
                continue
            if value is None:
                raise Refusal(
                    f"{place(index)} is null, and training never saw it missing; "
                    f"send {EXPECTED[self.dtype]}."
                )
            raise Refusal(f"{place(index)} must be {self.expected}; {shown(value)} came.")
        raise AssertionError(f"column '{self.name}': no offending cell")


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
        return Refusal(f"{where} lacks the column '{name}' ({self.by_name[name].expected}).{hint}")

    def unknown(self, where: str, name: str) -> Refusal:
        """The refusal of a column that the model does not know."""
        return Refusal(
            f"{where} has the column '{name[:60]}', which this model does not know."
            f"{nearest(name[:60], self.names)} It takes {listed(list(self.names))}."
        )
