"""The first pass over a table: eight bytes a row, and a bounded sketch of rows that are alike.

The sketch keeps hashes of rows with a column left out, of rows written another way, and of single
cells. All of those below a bound are kept, so that rows which share a hash are kept together or
not at all: a sample of pairs, where a sample of rows would tear them apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.kinds import is_text
from shipway.components.lib.tables import count_rows, read_batches
from shipway.components.lib.task import Target
from shipway.components.split.hashing import cell_hashes, loose_hashes, mixed

SKETCH = 4_000_000
MAX_LEFT_OUT = 100
IDENTIFIER_SHARE, IDENTIFIER_ROWS = 0.95, 50
LOOSE, NOTHING = "\0loose", "\0nothing"


@dataclass(frozen=True)
class Kept:
    """Hashes of one kind that lie below the bound, with their rows; both of shape (m,)."""

    rows: np.ndarray
    hashes: np.ndarray


@dataclass
class Scan:
    """What one pass over the rows finds.

    Attributes:
        hashes: of each row but for the label, shape (n,), uint64: of values and names of columns
            alone, so that a row keeps its split when rows are appended or read again.
        features: the same but for the column that parts the splits; may be the same array.
        keys: of the key columns of each row; empty where none are named.
        groups: of the group column's cells; empty where none is named.
        identifiers: columns of whose values nearly each is met once.
        left_out: by column, rows but for it and for the identifiers; under `NOTHING`, rows but
            for the identifiers; under `LOOSE`, those in small letters and rounded numbers.
        left_out_more: the same, each without the column that tells rows apart best as well.
        cells: by column of text or whole numbers, the cells.
    """

    hashes: np.ndarray
    features: np.ndarray
    keys: np.ndarray
    groups: np.ndarray
    identifiers: list[str] = field(default_factory=list)
    left_out: dict[str, Kept] = field(default_factory=dict)
    left_out_more: dict[str, Kept] = field(default_factory=dict)
    cells: dict[str, Kept] = field(default_factory=dict)


def scan(
    dataset: Path, label: str, apart: str = "", keys: Sequence[str] = (), group: str = ""
) -> Scan:
    """Read all rows once.

    Args:
        dataset: the rows.
        label: left out of every hash.
        apart: the column that parts the splits, left out of `features`; empty for none.
        keys: columns that together name a row's subject.
        group: the column whose cells are hashed into `groups`; empty for none.
    """
    sketch: _Sketch | None = None
    hashes, features, subjects, groups = [], [], [], []
    start, total_rows = 0, count_rows(dataset)
    for batch in map(_table, read_batches(dataset)):
        cells = {
            name: cell_hashes(name, column)
            for name, column in zip(batch.column_names, batch.columns, strict=True)
            if name != label
        }
        whole = _together(cells, batch.num_rows)
        hashes.append(mixed(whole))
        if apart:
            features.append(mixed(whole ^ cells[apart]))
        if keys:
            subjects.append(mixed(_together({k: cells[k] for k in keys}, batch.num_rows)))
        if group:
            groups.append(cells[group])
        sketch = sketch or _Sketch(batch, label, total_rows)
        sketch.add(start, batch, cells, whole)
        start += batch.num_rows
    every = _joined(hashes)
    result = Scan(every, _joined(features) if apart else every, _joined(subjects), _joined(groups))
    if sketch:
        sketch.save(result)
    return result


def _table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _together(cells: dict[str, np.ndarray], rows: int) -> np.ndarray:
    total = np.zeros(rows, dtype=np.uint64)
    for hashes in cells.values():
        total ^= hashes
    return total


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """One array of many, which are let go of."""
    joined = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.uint64)
    pieces.clear()
    return joined


class _Sketch:
    """Keeps the hashes below a bound that is chosen for the number of rows and columns."""

    def __init__(self, first: pa.Table, label: str, rows: int) -> None:
        names = [name for name in first.schema.names if name != label]
        kinds = {name: first.schema.field(name).type for name in names}
        self._coded = [n for n in names if is_text(kinds[n]) or pa.types.is_integer(kinds[n])]
        self._identifiers = [n for n in self._coded if _is_identifier(first.column(n))]
        self._left_out = [n for n in names if n not in self._identifiers][:MAX_LEFT_OUT]
        self._coded = self._coded[:MAX_LEFT_OUT]
        self._telling = max(
            self._left_out, key=lambda name: len(pc.unique(first.column(name))), default=""
        )
        kept = max(1, rows * (2 * len(self._left_out) + len(self._coded) + 4))
        share = min(1.0, SKETCH / kept)
        self._bound = None if share == 1 else np.uint64(share * 2**64)
        self._found: dict[tuple[str, str], list[Kept]] = {}

    def add(
        self, start: int, batch: pa.Table, cells: dict[str, np.ndarray], whole: np.ndarray
    ) -> None:
        base = whole.copy()
        for name in self._identifiers:
            base ^= cells[name]
        loose = base.copy()
        telling = cells.get(self._telling, np.zeros_like(whole))
        loosely_telling = telling
        for name in self._left_out:
            other = loose_hashes(name, batch.column(name))
            if other is not None:
                loose ^= cells[name] ^ other
                loosely_telling = other if name == self._telling else loosely_telling
            self._keep_both(name, start, base ^ cells[name], telling, name != self._telling)
        self._keep_both(NOTHING, start, base, telling)
        self._keep_both(LOOSE, start, loose, loosely_telling)
        for name in self._coded:
            self._keep("cells", name, start, cells[name])

    def _keep_both(
        self, name: str, start: int, hashes: np.ndarray, telling: np.ndarray, more: bool = True
    ) -> None:
        self._keep("left_out", name, start, mixed(hashes))
        if more:
            self._keep("left_out_more", name, start, mixed(hashes ^ telling))

    def _keep(self, kind: str, name: str, start: int, hashes: np.ndarray) -> None:
        rows = (
            np.arange(len(hashes)) if self._bound is None else np.flatnonzero(hashes < self._bound)
        )
        kept = Kept((rows + start).astype(np.int32), hashes[rows])
        self._found.setdefault((kind, name), []).append(kept)

    def save(self, result: Scan) -> None:
        result.identifiers = self._identifiers
        for (kind, name), pieces in self._found.items():
            rows = np.concatenate([piece.rows for piece in pieces])
            hashes = np.concatenate([piece.hashes for piece in pieces])
            getattr(result, kind)[name] = Kept(rows, hashes)


def _is_identifier(column: pa.ChunkedArray) -> bool:
    known = column.drop_null()
    if len(known) < IDENTIFIER_ROWS:
        return False
    return len(pc.unique(known)) >= IDENTIFIER_SHARE * len(known)


def read_column(dataset: Path, name: str) -> Iterator[pa.ChunkedArray]:
    """One column, batch by batch."""
    for batch in read_batches(dataset, [name]):
        yield pa.chunked_array([batch.column(0)])


def read_labels(dataset: Path, label: str) -> pa.ChunkedArray:
    """The label of all rows; text as codes into its distinct values, a chunk a batch."""
    chunks = []
    for column in read_column(dataset, label):
        chunks += (column.dictionary_encode() if is_text(column.type) else column).chunks
    return pa.chunked_array(chunks).unify_dictionaries()


def encoded(labels: pa.ChunkedArray, target: Target) -> np.ndarray:
    """The label as numbers, chunk by chunk; shape (n,), as `Target.encode`."""
    if labels.null_count:  # told with the number in the whole table
        return target.encode(labels)
    return np.concatenate([target.encode(chunk) for chunk in labels.chunks if len(chunk)])
