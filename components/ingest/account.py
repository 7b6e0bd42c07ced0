"""Where every row and every cell went."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

LABEL_MISSING = "label missing"
UNREADABLE = "unreadable"


@dataclass
class Account:
    """Counts over the batches of a source: read = kept + dropped.

    Attributes:
        read: rows read.
        dropped: rows dropped, by reason.
        missing: missing cells of the kept rows, by column.
        infinite: infinite numbers that were read as missing, by column.
        labels: up to two distinct values of the label.
    """

    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    infinite: Counter[str] = field(default_factory=Counter)
    labels: list[Any] = field(default_factory=list)

    def kept(self, table: pa.Table, label: str) -> pa.Table:
        """The rows of a batch that have a label; all of them are counted."""
        labels = table.column(label)
        kept = table.filter(pc.is_valid(labels)) if labels.null_count else table
        self.read += table.num_rows
        self.dropped[LABEL_MISSING] += table.num_rows - kept.num_rows
        for name, column in zip(kept.column_names, kept.columns, strict=True):
            self.missing[name] += column.null_count
        if len(self.labels) < 2:
            found = pc.unique(kept.column(label)).slice(0, 2).to_pylist()
            self.labels = list(dict.fromkeys([*self.labels, *found]))[:2]
        return kept

    def reject(self, count: int) -> None:
        """Count rows that could not be read."""
        if count:
            self.read += count
            self.dropped[UNREADABLE] += count

    def metadata(self) -> dict[str, float]:
        """Dropped rows by reason, as flat artifact metadata."""
        return {
            f"rows_dropped_{reason.replace(' ', '_')}": float(count)
            for reason, count in self.dropped.items()
        }
