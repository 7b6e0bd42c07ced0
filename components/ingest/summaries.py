"""Simple statistics of each column, in one pass and little memory; private columns have none."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.private import is_private
from shipway.components.lib.tables import json_value

SAMPLE_ROWS, SAMPLE_CELLS = 10_000, 2_000_000
TOP = 3
LONGEST = 60


class Sample:
    """Rows spread evenly over a stream: every nth, where n doubles when they become too many."""

    def __init__(self, schema: pa.Schema) -> None:
        """Begin an empty sample."""
        self._most = max(100, min(SAMPLE_ROWS, SAMPLE_CELLS // max(1, len(schema))))
        self._step, self.seen = 1, 0
        self._rows = schema.empty_table()

    def add(self, rows: pa.RecordBatch) -> None:
        """Take some rows of the next batch."""
        while (rows.num_rows + self.seen) // self._step >= 2 * self._most:
            self._step *= 2
            self._rows = self._rows.take(np.arange(0, self._rows.num_rows, 2))
        first = -self.seen % self._step
        places = np.arange(first, rows.num_rows, self._step)
        self.seen += rows.num_rows
        if len(places):
            table = pa.Table.from_batches([rows]).take(places)
            self._rows = pa.concat_tables([self._rows, table])

    def table(self) -> pa.Table:
        """The rows of the sample."""
        return self._rows.combine_chunks()

    @property
    def whole(self) -> bool:
        """Whether the sample holds every row."""
        return self._step == 1


@dataclass
class Numbers:
    """What is summed up of a column of numbers or times."""

    minimum: Any = None
    maximum: Any = None
    total: float = 0.0
    count: int = 0

    def look(self, values: pa.ChunkedArray) -> None:
        """Take the values of a batch into account; missing ones are passed over."""
        ends = pc.min_max(values)
        low, high = ends["min"], ends["max"]
        if not low.is_valid:
            return
        low, high = _value(low), _value(high)
        self.minimum = low if self.minimum is None else min(self.minimum, low)
        self.maximum = high if self.maximum is None else max(self.maximum, high)
        if not pa.types.is_temporal(values.type):
            if pa.types.is_integer(values.type) and max(-low, high) * len(values) >= 2**63:
                values = pc.cast(values, pa.float64(), safe=False)  # else the sum wraps around
            self.total += float(pc.sum(values).as_py())
            self.count += len(values) - values.null_count


@dataclass
class Summaries:
    """Statistics of the columns of a schema."""

    schema: pa.Schema
    numbers: dict[str, Numbers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose the columns that have a least and a most."""
        self.numbers = {
            one.name: Numbers()
            for one in self.schema
            if not is_private(one) and _is_ordered(one.type)
        }

    def look(self, rows: pa.Table) -> None:
        """Take the rows of a batch into account."""
        for name, numbers in self.numbers.items():
            numbers.look(rows.column(name))

    def facts(self, sample: pa.Table) -> dict[str, dict[str, Any]]:
        """By column: minimum, maximum and mean, or the most frequent values of the sample.

        Args:
            sample: rows of this schema.
        """
        facts: dict[str, dict[str, Any]] = {}
        for one in self.schema:
            if is_private(one):
                facts[one.name] = {"private": True}
            elif one.name in self.numbers:
                facts[one.name] = _number_facts(self.numbers[one.name])
            else:
                facts[one.name] = {"top": list(_top(sample.column(one.name)))}
        return facts


def _is_ordered(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_timestamp(kind)
        or types.is_date(kind)
    )


def _value(scalar: pa.Scalar) -> Any:
    # Nanoseconds have no form in Python's own type.
    kind = scalar.type
    return (
        pc.cast(scalar, pa.timestamp("us", kind.tz), safe=False) if _is_nano(kind) else scalar
    ).as_py()


def _is_nano(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.unit == "ns")


def _number_facts(numbers: Numbers) -> dict[str, Any]:
    facts = {"minimum": json_value(numbers.minimum), "maximum": json_value(numbers.maximum)}
    if numbers.count:
        facts["mean"] = json_value(numbers.total / numbers.count)
    return facts


def _top(values: pa.ChunkedArray) -> Iterable[dict[str, Any]]:
    """The most frequent values with their share of the known ones; none where each is rare."""
    known = pc.drop_null(values)
    counted = sorted(
        ((one["counts"], str(one["values"])) for one in pc.value_counts(known).to_pylist()),
        key=lambda pair: (-pair[0], pair[1]),
    )
    for count, value in counted[:TOP]:
        if count > 1 or len(counted) <= TOP:
            yield {"value": value[:LONGEST], "share": round(count / len(known), 4)}
