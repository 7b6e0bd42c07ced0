"""Which cells are missing, and which type holds for a column: over every row of every object."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.ingest.options import PLAIN, TextRules
from shipway.components.ingest.text_cells import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    TIMES,
    MisfitError,
    cast_text,
    has_margins,
)
from shipway.components.lib.errors import ConfigurationError, nearest

USUAL_MISSING = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A")
# From narrow to wide: a column takes the first that holds all its values, else text.
CANDIDATES = (INTEGER, NUMBER, BOOLEAN, *TIMES)


def twice(names: Sequence[str]) -> tuple[str, int] | None:
    """The first name that stands more than once, and how often it does."""
    counts = Counter(names)
    return next(((name, count) for name, count in counts.items() if count > 1), None)


@dataclass(frozen=True)
class Missing:
    """Which cells of a column count as missing.

    Attributes:
        texts: markers, compared with a text cell that spaces around it were taken off.
        numbers: markers among numbers.
        own: whether they are of one column alone.
    """

    texts: pa.Array
    numbers: tuple[float, ...]
    own: bool = False

    @classmethod
    def of(cls, given: Sequence[str], usual: Sequence[str], own: bool = False) -> "Missing":
        """The usual markers, those that a user gave, and blanks."""
        texts = ["", *usual, *(marker.strip() for marker in given)]
        return cls(pa.array(dict.fromkeys(texts), TEXT), tuple(_numbers(given)), own)


def _numbers(markers: Iterable[str]) -> Iterator[float]:
    for marker in markers:
        try:
            yield float(marker)
        except ValueError:
            continue


@dataclass(frozen=True)
class Markers:
    """Which cells of a table count as missing: in each column, and in some beside those.

    Attributes:
        everywhere: of the columns that have none of their own.
        own: by column.
    """

    everywhere: Missing
    own: Mapping[str, Missing] = field(default_factory=dict)

    @classmethod
    def of(
        cls, given: Sequence[str], names: Sequence[str], usual: Sequence[str] = USUAL_MISSING
    ) -> "Markers":
        """Read `missing_values`: "MARKER" is of all columns, "COLUMN=MARKER" of one.

        Raises:
            ConfigurationError: an entry names a column that does not exist.
        """
        everywhere: list[str] = []
        of_column: dict[str, list[str]] = {}
        for entry in given:
            before = [entry[:place] for place, sign in enumerate(entry) if sign == "="]
            column = next((name for name in reversed(before) if name in names), "")
            if column:
                of_column.setdefault(column, []).append(entry[len(column) + 1 :])
            elif not before or not before[0]:
                everywhere.append(entry[1:] if before else entry)
            else:
                raise ConfigurationError(
                    f"missing_values has '{entry}', but there is no column '{before[0]}'."
                    f"{nearest(before[0], names)} A marker of all columns that holds '=' is "
                    f"written '={entry}'."
                )
        own = {
            name: Missing.of([*everywhere, *markers], usual, own=True)
            for name, markers in of_column.items()
        }
        return cls(Missing.of(everywhere, usual), own)

    def for_column(self, name: str) -> Missing:
        """Those of one column."""
        return self.own.get(name, self.everywhere)


def cleaned(texts: pa.Array, missing: Missing, marked: bool = False) -> pa.Array:
    """Text without the spaces around it; null for a blank or a marker.

    Args:
        texts: cells.
        missing: which are missing.
        marked: whether markers without spaces around them were made null already.
    """
    margins = has_margins(texts)
    if marked and not margins and not missing.own:
        return texts
    trimmed = pc.utf8_trim_whitespace(texts) if margins else texts
    absent = pc.is_in(trimmed, value_set=missing.texts)
    return pc.if_else(absent, pa.scalar(None, TEXT), trimmed)


def converted(
    values: pa.Array,
    kind: pa.DataType,
    missing: Missing,
    rules: TextRules = PLAIN,
    marked: bool = False,
) -> pa.Array:
    """Values in the type of their column, missing ones null.

    Args:
        values: of one batch, as they were read.
        kind: a type that should hold them, from `Typing.kind_of` or a Parquet schema.
        missing: which cells count as missing.
        rules: what text means.
        marked: whether markers without spaces around them were made null already.

    Raises:
        MisfitError: text holds a value of another type.
    """
    if values.type == TEXT:
        values = _of_text(values, kind, missing, rules, marked)
    if values.type != kind:
        values = pc.cast(values, kind, safe=False)
    if missing.numbers and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        markers = pa.array(missing.numbers, NUMBER)
        absent = pc.is_in(pc.cast(values, NUMBER, safe=False), value_set=markers)
        values = pc.if_else(absent, pa.scalar(None, kind), values)
    return values


def _of_text(
    values: pa.Array, kind: pa.DataType, missing: Missing, rules: TextRules, marked: bool
) -> pa.Array:
    if kind == TEXT:
        return cleaned(values, missing, marked)
    if marked and not missing.own:
        try:  # most columns have no spaces around their cells, and need not be looked at for them
            return cast_text(values, kind, rules)
        except MisfitError:
            if not has_margins(values):
                raise
    return cast_text(cleaned(values, missing), kind, rules)


class Typing:
    """Narrows down, batch by batch, the types that hold for each column.

    The first block of a file proves nothing about the next: all of them are looked at.
    """

    def __init__(self, markers: Markers, numbers_in_text: bool, rules: TextRules = PLAIN) -> None:
        """Begin.

        Args:
            markers: which cells count as missing.
            numbers_in_text: whether text may become numbers, as it must in CSV.
            rules: what text means.
        """
        self._markers = markers
        self._rules = rules
        self._start = CANDIDATES if numbers_in_text else TIMES
        self._left: dict[str, tuple[pa.DataType, ...]] = {}
        self._known: set[str] = set()

    def look(self, batch: pa.RecordBatch) -> None:
        """Take a batch into account; one without a column says nothing about it."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            left = self._left.setdefault(name, CANDIDATES)
            if not left and name in self._known:
                continue
            is_text = column.type == TEXT
            missing = self._markers.for_column(name)
            values = pc.drop_null(cleaned(column, missing) if is_text else column)
            if not len(values):
                continue
            self._known.add(name)
            if is_text:
                left = self._holding(values, tuple(kind for kind in left if kind in self._start))
            else:
                wide = (INTEGER, NUMBER) if values.type == INTEGER else (values.type,)
                left = tuple(kind for kind in left if kind in wide)
            self._left[name] = left

    def knows(self, name: str) -> bool:
        """Whether a column had a value in what was looked at."""
        return name in self._known

    def kind_of(self, name: str) -> pa.DataType:
        """The narrowest type that holds all values of a column; text if there is none."""
        left = self._left.get(name, ())
        return left[0] if left and name in self._known else TEXT

    def schema(self, names: Sequence[str]) -> pa.Schema:
        """The types of some columns."""
        return pa.schema([(name, self.kind_of(name)) for name in names])

    def _holding(
        self, values: pa.Array, candidates: tuple[pa.DataType, ...]
    ) -> tuple[pa.DataType, ...]:
        """Those of some types that hold all of some texts, which are not missing."""
        left: list[pa.DataType] = []
        for kind in candidates:
            if kind == NUMBER and INTEGER in left:
                left.append(kind)
            elif kind in TIMES and NUMBER in left:
                continue
            elif _casts(values, kind, self._rules):
                left.append(kind)
        return tuple(left)


def _casts(values: pa.Array, kind: pa.DataType, rules: TextRules) -> bool:
    # In growing slices: pyarrow words an error for each value that fails, which takes long.
    start, size = 0, 16
    while start < len(values):
        try:
            cast_text(values.slice(start, size), kind, rules)
        except MisfitError:
            return False
        start, size = start + size, min(size * 8, 65_536)
    return True
