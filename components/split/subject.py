"""What every rule of the gate looks at: the rows' hashes, splits and labels, and two samples."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.decision import Rule
from shipway.components.lib.private import is_private
from shipway.components.lib.tables import read_schema
from shipway.components.lib.task import Target
from shipway.components.split.hashing import cell_hashes
from shipway.components.split.repeats import Repeats
from shipway.components.split.scan import Scan

SAMPLE = 20_000
SAMPLE_CELLS = 6_000_000
MIN_SAMPLE = 2_000


@dataclass(frozen=True)
class Subject:
    """A table that was split.

    Attributes:
        dataset: all rows.
        label: the column to predict.
        target: its task.
        strategy: how the rows were split.
        parts: each row's split, shape (n,).
        y: each row's label as a number, shape (n,).
        scan: hashes of the rows.
        repeats: rows of equal features.
        training: a sample of the training rows, in the order of the table.
        training_rows: where those stand in the table.
        held_out: a sample of the validation rows.
        time_column: the column that orders the rows in time; empty for none.
        group_column: the column that groups rows; empty for none.
    """

    dataset: Path
    label: str
    target: Target
    strategy: str
    parts: np.ndarray
    y: np.ndarray
    scan: Scan
    repeats: Repeats
    training: pa.Table
    training_rows: np.ndarray
    held_out: pa.Table
    time_column: str = ""
    group_column: str = ""
    _cells: dict[str, np.ndarray] = field(default_factory=dict)

    def cells(self, name: str) -> np.ndarray:
        """Hashes of a column's cells in the sample of training rows."""
        if name not in self._cells:
            self._cells[name] = cell_hashes(name, self.training.column(name))
        return self._cells[name]

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return len(self.parts)

    def hides(self, name: str) -> bool:
        """Whether no page may show the values of a column."""
        return is_private(read_schema(self.dataset).field(name))

    @property
    def features(self) -> list[str]:
        """Columns but for the label."""
        return [name for name in self.training.column_names if name != self.label]

    @property
    def known(self) -> np.ndarray:
        """Labels of the sample of training rows."""
        known: np.ndarray = self.y[self.training_rows]
        return known

    def outcomes(self, rows: np.ndarray) -> np.ndarray:
        """The label of some rows as numbers that have a mean; float64 of shape (m, s).

        One column: the value, or whether it is the last class; of several classes one for each.
        """
        y = self.y[rows]
        if self.target.task == "multiclass":
            return np.asarray(np.eye(len(self.target.classes))[y])
        return np.asarray(y, dtype=np.float64)[:, None]


class Draw:
    """A sample of the rows of one split, taken while they stream by."""

    def __init__(self, parts: np.ndarray, part: int, columns: int) -> None:
        """Choose the rows, by a fixed seed."""
        size = min(SAMPLE, max(MIN_SAMPLE, SAMPLE_CELLS // columns))
        rows = np.flatnonzero(parts == part)
        if len(rows) > size:
            rows = np.sort(np.random.default_rng(0).choice(rows, size, replace=False))
        self.rows = rows
        self._pieces: list[pa.RecordBatch] = []

    def add(self, start: int, batch: pa.RecordBatch) -> None:
        """Take what was chosen of the rows from `start` on."""
        first, last = np.searchsorted(self.rows, [start, start + batch.num_rows])
        self._pieces.append(batch.take(pa.array(self.rows[first:last] - start)))

    @property
    def table(self) -> pa.Table:
        """The rows that were drawn."""
        return pa.Table.from_batches(self._pieces)


def cure(name: str) -> str:
    """What to do about a column that gives the label away."""
    return (
        f"Leave it out with exclude_columns=['{name}'], or, if it is known at prediction time, "
        f"accept it with accepted_leaks=['{name}']."
    )


def passed(name: str, sentence: str, n: int | None = None) -> Rule:
    """A rule that found nothing."""
    return Rule(name, "pass", sentence, n=n)
