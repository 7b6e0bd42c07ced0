"""The few facts about each column that rules and the page need, read out of TFDV's statistics."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.private import private_columns
from shipway.components.lib.tables import read_batches, read_schema
from shipway.components.validate.casting import ColumnCast, cast_column
from shipway.components.validate.chunks import Chunk, read_chunks
from shipway.components.validate.profile import Profile

MAX_CELLS = 20_000_000
SKETCH_BUCKETS = 1_000
FREQUENT = 0.01


@dataclass
class ColumnFacts:
    """What one column looks like.

    Attributes:
        name: the column.
        kind: "integer", "number", "text", "true/false", "time", ...
        rows: number of rows that were measured.
        missing: rows without a value.
        distinct: number of distinct values (an estimate above some 16,000), None if not counted.
        minimum: of numbers and times (seconds since 1970), None otherwise.
        median: as `minimum`.
        maximum: as `minimum`.
        mean: as `minimum`.
        top: the most frequent texts with their counts.
        deviation: standard deviation, as `minimum`.
        shape: counts of ten bins of equal width, or of the most frequent values.
        note: how the column was changed before measuring; empty when it was not.
        private: whether no page may show its values.
    """

    name: str
    kind: str
    rows: int
    missing: int = 0
    distinct: int | None = None
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None
    top: list[tuple[str, int]] = field(default_factory=list)
    shape: list[float] = field(default_factory=list)
    note: str = ""
    private: bool = False

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def missing_share(self) -> float:
        """Share of the rows without a value, 0 to 1."""
        return self.missing / self.rows if self.rows else 0.0


def column_facts(profile: Profile, path: Path) -> list[ColumnFacts]:
    """The facts of every column, in table order.

    Args:
        profile: as measured.
        path: the Dataset, read again column by column where distinct numbers are to be counted.
    """
    datasets = profile.statistics.datasets
    facts = dataset_facts(datasets[0] if datasets else None, profile.casts, profile.rows)
    private = private_columns(read_schema(path))
    for fact in facts:
        fact.private = fact.name in private
    count_all = profile.rows * len(profile.casts) <= MAX_CELLS
    plain = [c.target is not None and not pa.types.is_nested(c.target) for c in profile.casts]
    wanted = [
        (fact, cast)
        for fact, cast, countable in zip(facts, profile.casts, plain, strict=True)
        if countable and fact.distinct is None and (count_all or _may_identify(fact))
    ]
    # In groups: opening a file of thousands of columns for each of them takes minutes.
    size = max(1, MAX_CELLS // max(1, profile.rows))
    for start in range(0, len(wanted), size):
        _count_distinct(path, profile.chunks, wanted[start : start + size])
    return facts


def dataset_facts(dataset: Any, casts: list[ColumnCast], rows: int) -> list[ColumnFacts]:
    """What TFDV's statistics alone tell of every column, in table order.

    Args:
        dataset: of the whole table or of a slice; None when nothing was measured.
        casts: of every column.
        rows: that were measured.
    """
    measured = {feature.path.step[0]: feature for feature in dataset.features} if dataset else {}
    facts = []
    for cast in casts:
        fact = ColumnFacts(cast.name, cast.kind, rows, note=cast.note)
        if cast.name in measured:
            _read(fact, measured[cast.name])
        facts.append(fact)
    return facts


def _read(fact: ColumnFacts, feature: Any) -> None:
    kind = feature.WhichOneof("stats")
    stats = getattr(feature, kind)
    common = stats.common_stats if kind != "common_stats" else stats
    fact.missing = int(fact.rows - common.num_non_missing)
    if not fact.present:
        return
    if kind == "num_stats":
        fact.minimum, fact.maximum = stats.min, stats.max
        fact.median, fact.mean, fact.deviation = stats.median, stats.mean, stats.std_dev
        bins = [h for h in stats.histograms if h.type == h.STANDARD]
        fact.shape = [bucket.sample_count for bucket in bins[0].buckets] if bins else []
    elif kind in ("string_stats", "bytes_stats"):
        # An estimate for many values, which may exceed what there is.
        fact.distinct = min(int(stats.unique), fact.present)
    if kind == "string_stats":
        # The sketch counts frequent values only: elsewhere its order and counts mean nothing.
        exact = fact.distinct is not None and fact.distinct <= SKETCH_BUCKETS
        top = [t for t in stats.top_values if exact or t.frequency >= FREQUENT * fact.rows]
        fact.top = [(value.value, int(value.frequency)) for value in top[:3]]
        fact.shape = [bucket.sample_count for bucket in stats.rank_histogram.buckets[:10]]
        fact.shape = fact.shape if top else []


def read_column(path: Path, name: str) -> pa.ChunkedArray:
    """One column of a Dataset directory, whole."""
    kind = read_schema(path).field(name).type
    return pa.chunked_array([batch.column(0) for batch in read_batches(path, [name])], kind)


def _count_distinct(
    path: Path, chunks: list[Chunk], wanted: list[tuple[ColumnFacts, ColumnCast]]
) -> None:
    names = [cast.name for _, cast in wanted]
    arrays: dict[str, list[pa.Array]] = {name: [] for name in names}
    for _, batch in read_chunks(path, chunks, names):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            arrays[name].append(column)
    for fact, cast in wanted:
        ready = [cast_column(array, cast)[0] for array in arrays.pop(cast.name)]
        fact.distinct = int(pc.count_distinct(pa.chunked_array(ready, cast.target)).as_py())


def _may_identify(fact: ColumnFacts) -> bool:
    """Whether whole numbers span enough values to be all different."""
    if fact.kind != "integer" or fact.minimum is None or fact.maximum is None:
        return False
    return fact.maximum - fact.minimum + 1 >= 0.9 * fact.present
