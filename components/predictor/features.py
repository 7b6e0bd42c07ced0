"""From cells of a request to the model's columns, without pandas and without Arrow.

Few rows go by a lean way that gives up at anything unusual; the careful way then finds what is
wrong, or takes it. Both make the same bits, as the feature plan does in training.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np

from shipway.components.lib.encoders import CODED, encode_cells, encoder_of
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.pairs import complete, pair_encoder_of, partner_of
from shipway.components.predictor.columns import NUMBERS, Schema
from shipway.components.predictor.refusals import Refusal, shown

NUMBERS_OR_NULL = NUMBERS | {type(None)}
ACCEPTED: Mapping[str, frozenset[type]] = {
    "string": frozenset({str}),
    "boolean": frozenset({bool}),
    "number": NUMBERS,
}
NONE: Mapping[str, int] = {}

Cells = Sequence[Any] | np.ndarray


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a request as the model takes them.

    Attributes:
        features: float64 of shape (n, k), NaN for what is missing; not yet rounded to float32.
        unknown: how many cells of each column held a category that training did not see.
    """

    features: np.ndarray
    unknown: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Words:
    """A column that is not a plain number, for the lean way."""

    index: int
    name: str
    accepted: frozenset[type]
    nullable: bool
    slots: slice
    encode: Callable[..., Sequence[float]]
    other: int | None  # the index of a second column that goes into its features
    partners: frozenset[type]  # what that one's cells may be
    table: Mapping[Any, Sequence[float]] | None
    unseen: Sequence[float]
    missing: Sequence[float]


class FeatureReader:
    """Reads the cells of requests for one model."""

    def __init__(self, schema: Schema, plan: FeaturePlan, *, refuse_unknown: bool = False) -> None:
        """Prepare both ways.

        Args:
            schema: the columns in the order of list rows.
            plan: what becomes of each; its columns stand in the same order.
            refuse_unknown: refuse a category that training did not see, rather than take it for a
                rare one.
        """
        self._schema = schema
        self._plan = plan
        self._refuse_unknown = refuse_unknown
        self.width = sum(len(column.outputs) for column in plan.columns)
        self._count = len(schema.columns)
        self._numbers: list[tuple[int, int]] = []
        self._words: list[_Words] = []
        slot = 0
        for index, (column, planned) in enumerate(zip(schema.columns, plan.columns, strict=True)):
            width = len(planned.outputs)
            if planned.kind == "number":
                self._numbers.append((slot, index))
            else:
                self._words.append(
                    _Words(
                        index,
                        column.name,
                        ACCEPTED[column.dtype],
                        column.nullable,
                        slice(slot, slot + width),
                        pair_encoder_of(planned) if planned.other else encoder_of(planned),
                        schema.names.index(planned.other) if planned.other else None,
                        ACCEPTED[partner_of(planned).dtype],
                        planned.lookup if planned.kind in CODED else None,
                        planned.unseen,
                        (math.nan,) * width,
                    )
                )
            slot += width
        self._all_numbers = not self._words
        numbers = [schema.columns[index] for _, index in self._numbers]
        nullable = all(column.nullable for column in numbers)
        self._number_types = NUMBERS_OR_NULL if nullable else NUMBERS
        self._pick = _getter([index for _, index in self._numbers])
        self._named = _getter(list(schema.names))

    @property
    def all_numbers(self) -> bool:
        """Whether a row is its numbers, one a column."""
        return self._all_numbers

    def read_rows(self, rows: Sequence[Any]) -> Batch | None:
        """The lean way for few rows, objects by name or lists in order.

        Returns:
            The batch; None where something is unusual, for the careful way to look at.
        """
        features = np.empty((len(rows), self.width))
        unknown: Counter[str] | None = None
        kind: Any = type(rows[0])
        take: Callable[[Any], Sequence[Any] | None]
        if kind is dict:
            take = self._of_object
        elif kind is list:
            take = self._of_list
        else:
            return None
        for index, row in enumerate(rows):
            cells = take(row) if type(row) is kind else None
            if cells is None:
                return None
            numbers = cells if self._all_numbers else self._pick(cells)
            if not self._number_types.issuperset(map(type, numbers)):
                return None
            if self._all_numbers:
                features[index] = cells
                continue
            line = [math.nan] * self.width
            for slot, position in self._numbers:
                line[slot] = cells[position]
            strange = self._encode_words(cells, line)
            if strange is None:
                return None
            features[index] = line
            if strange:
                unknown = unknown or Counter()
                unknown.update(strange)
        return Batch(features, unknown or NONE)

    def _of_object(self, row: dict[str, Any]) -> Sequence[Any] | None:
        try:
            cells = self._named(row)
        except KeyError:
            return None
        if len(row) != self._count and not row.keys() <= self._schema.known:
            return None
        return cells

    def _of_list(self, row: list[Any]) -> Sequence[Any] | None:
        return row if len(row) == self._count else None

    def _encode_words(self, cells: Sequence[Any], line: list[float]) -> list[str] | None:
        """Write the features of all that is no plain number; the columns of unknown categories."""
        strange: list[str] = []
        for words in self._words:
            cell = cells[words.index]
            if type(cell) not in words.accepted:
                if cell is not None or not words.nullable:
                    return None
                continue
            if words.table is not None:
                values = words.table.get(cell) or _looked_up(words.table, cell)
                if values is None:
                    if self._refuse_unknown or (type(cell) is float and not cell.is_integer()):
                        return None
                    strange.append(words.name)
                    values = words.unseen
            else:
                if words.other is None:
                    values = words.encode(cell)
                else:
                    other = cells[words.other]
                    if other is not None and type(other) not in words.partners:
                        return None
                    values = words.encode(cell, other)
                if not words.nullable and values[0] != values[0]:
                    return None
            line[words.slots] = values
        return strange

    def read_columns(self, columns: Mapping[str, Cells]) -> Batch:
        """The careful way: cells that were checked, column by column.

        Args:
            columns: by name, lists of cells with None for missing, or float64 arrays with NaN.

        Raises:
            Refusal: a category is not known, and the server refuses such.
        """
        blocks, unknown = [], {}
        for planned in self._plan.columns:
            cells = columns[planned.name]
            if isinstance(cells, np.ndarray):
                if planned.kind == "number":
                    blocks.append(cells[:, None])
                    continue
                cells = cells.tolist()
            if planned.kind in CODED:
                count = self._count_unknown(planned.name, planned.lookup, cells)
                if count:
                    unknown[planned.name] = count
            block = encode_cells(planned, cells)
            if planned.other:
                others = columns[planned.other]
                complete(planned, block, encode_cells(partner_of(planned), others)[:, 0])
            blocks.append(block)
        return Batch(np.hstack(blocks), unknown)

    def _count_unknown(
        self, name: str, table: Mapping[Any, Sequence[float]], cells: Sequence[Any]
    ) -> int:
        strange = {
            cell for cell in set(cells) if cell is not None and _looked_up(table, cell) is None
        }
        if not strange:
            return 0
        if self._refuse_unknown:
            row = next(row for row, cell in enumerate(cells) if cell in strange)
            raise Refusal(
                f"Row {row}, column '{name}' must be a category that training saw; "
                f"{shown(cells[row])} came.",
                cause="unknown_category",
            )
        return sum(cell in strange for cell in cells)


def _looked_up(table: Mapping[Any, Sequence[float]], cell: Any) -> Sequence[float] | None:
    """The features of a category; None of one that training did not see."""
    values = table.get(cell)
    return table.get(cell.strip()) if values is None and type(cell) is str else values


def _getter(keys: list[Any]) -> Callable[[Any], Sequence[Any]]:
    """Several items at once, always as a sequence."""
    if not keys:
        return lambda row: ()
    if len(keys) == 1:
        return lambda row: (row[keys[0]],)
    return itemgetter(*keys)
