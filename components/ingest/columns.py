"""What a cell means, and which type holds for a column: over every row of every object."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

USUAL_MISSING = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A")

INTEGER, NUMBER, BOOLEAN, TEXT = pa.int64(), pa.float64(), pa.bool_(), pa.string()
TIMES = (pa.timestamp("us"), pa.timestamp("us", "UTC"))
# From narrow to wide: a column takes the first that holds all its values, else text.
CANDIDATES = (INTEGER, NUMBER, BOOLEAN, *TIMES)
# Codes such as 00123 and 0x1f are no numbers, nor are whole numbers longer than 64 bits.
_CODE = r"^[+-]?0[0-9xX]"
_LONG = r"^[+-]?[0-9]{19,}$"


def twice(names: Sequence[str]) -> tuple[str, int] | None:
    """The first name that stands more than once, and how often it does."""
    counts = Counter(names)
    return next(((name, count) for name, count in counts.items() if count > 1), None)


@dataclass(frozen=True)
class Missing:
    """Which cells count as missing.

    Attributes:
        texts: markers, compared with a text cell that spaces around it were taken off.
        numbers: markers among numbers.
    """

    texts: pa.Array
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, given: Sequence[str], usual: Sequence[str] = USUAL_MISSING) -> "Missing":
        """The usual markers, those that a user gave, and blanks."""
        texts = ["", *usual, *(marker.strip() for marker in given)]
        return cls(pa.array(dict.fromkeys(texts), TEXT), tuple(_numbers(given)))


def _numbers(markers: Iterable[str]) -> Iterable[float]:
    for marker in markers:
        try:
            yield float(marker)
        except ValueError:
            continue


def cleaned(texts: pa.Array, missing: Missing) -> pa.Array:
    """Text without the spaces around it; null for a blank or a marker."""
    trimmed = pc.utf8_trim_whitespace(texts)
    absent = pc.is_in(trimmed, value_set=missing.texts)
    return pc.if_else(absent, pa.scalar(None, TEXT), trimmed)


def converted(values: pa.Array, kind: pa.DataType, missing: Missing) -> pa.Array:
    """Values in the type that was settled for their column, missing ones null.

    Args:
        values: of one batch, as they were read.
        kind: a type that holds them all, from `Typing.kind_of` or a Parquet schema.
        missing: which cells count as missing.

    Raises:
        pa.ArrowInvalid: a value does not fit, so the source changed since it was looked at.
    """
    if values.type == TEXT:
        values = cleaned(values, missing)
    if values.type != kind:
        values = pc.cast(values, kind, safe=values.type == TEXT)
    if missing.numbers and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        markers = pa.array(missing.numbers, NUMBER)
        absent = pc.is_in(pc.cast(values, NUMBER, safe=False), value_set=markers)
        values = pc.if_else(absent, pa.scalar(None, kind), values)
    return values


class Typing:
    """Narrows down, batch by batch, the types that hold for each column.

    The first block of a file proves nothing about the next: all of them are looked at.
    """

    def __init__(self, missing: Missing, numbers_in_text: bool) -> None:
        """Begin.

        Args:
            missing: which cells count as missing.
            numbers_in_text: whether text may become numbers, as it must in CSV.
        """
        self._missing = missing
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
            values = pc.drop_null(cleaned(column, self._missing) if is_text else column)
            if not len(values):
                continue
            self._known.add(name)
            if is_text:
                left = _holding(values, tuple(kind for kind in left if kind in self._start))
            else:
                wide = (INTEGER, NUMBER) if values.type == INTEGER else (values.type,)
                left = tuple(kind for kind in left if kind in wide)
            self._left[name] = left

    def kind_of(self, name: str) -> pa.DataType:
        """The narrowest type that holds all values of a column; text if there is none."""
        left = self._left.get(name, ())
        return left[0] if left and name in self._known else TEXT


def _holding(values: pa.Array, candidates: tuple[pa.DataType, ...]) -> tuple[pa.DataType, ...]:
    """Those of some types that hold all of some texts, which are not missing."""
    left: list[pa.DataType] = []
    for kind in candidates:
        if kind == NUMBER and INTEGER in left:
            left.append(kind)
        elif kind in TIMES and NUMBER in left:
            continue
        elif _casts(values, kind) and not (kind in (INTEGER, NUMBER) and _are_codes(values, kind)):
            left.append(kind)
    return tuple(left)


def _are_codes(values: pa.Array, kind: pa.DataType) -> bool:
    pattern = _CODE if kind == INTEGER else f"{_CODE}|{_LONG}"
    return bool(pc.any(pc.match_substring_regex(values, pattern)).as_py())


def _casts(values: pa.Array, kind: pa.DataType) -> bool:
    # In growing slices: pyarrow words an error for each value that fails, which takes long.
    start, size = 0, 16
    while start < len(values):
        try:
            pc.cast(values.slice(start, size), kind)
        except pa.ArrowInvalid:
            return False
        start, size = start + size, min(size * 8, 65_536)
    return True
