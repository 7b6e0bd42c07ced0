"""Statistics of slices: the rows that hold one value of a column, filtered and streamed."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.validate.chunks import read_chunks
from shipway.components.validate.profile import Profile, prepare
from shipway.components.validate.statistics import Stream, stats_options

WHOLE = "All Examples"  # TFX's name of the whole table beside its slices
MOST_VALUES = 10
MOST_DISTINCT = 10_000


def add_slices(profile: Profile, path: Path, columns: Sequence[str], schema: Any = None) -> None:
    """Measure the most frequent values of some columns, each as a further dataset.

    A dataset is named `column=value`; the first, of the whole table, gets TFX's name for it.

    Args:
        profile: as measured; takes the datasets, and the columns that could not be sliced.
        path: the Dataset.
        columns: to be sliced.
        schema: a TFDV Schema that says how columns are meant, or None.

    Raises:
        ConfigurationError: a column is not in the table.
    """
    names = [cast.name for cast in profile.casts]
    for name in columns:
        if name not in names:
            raise ConfigurationError(
                f"slice_columns names '{name}', which is no column.{nearest(name, names)} Take it "
                "out, or correct it."
            )
    values = {name: _frequent(profile, path, name) for name in dict.fromkeys(columns)}
    values = {name: found for name, found in values.items() if found}
    if not values:
        return
    options = stats_options(len(profile.casts), schema)
    streams: dict[tuple[str, str], Stream] = defaultdict(lambda: Stream(options))
    for chunk, batch in read_chunks(path, profile.chunks):
        ready = prepare(batch, profile.casts, chunk.row_numbers(), None)
        for name, found in values.items():
            texts = _texts(batch.column(batch.schema.get_field_index(name)))
            for value in found:
                rows = pc.equal(texts, value)
                if pc.any(rows).as_py():
                    streams[name, value].add(ready.filter(rows))
    profile.statistics.datasets[0].name = WHOLE
    for name, found in values.items():
        for value in found:
            (dataset,) = streams[name, value].finished().datasets
            dataset.name = f"{name}={value}"
            profile.statistics.datasets.append(dataset)


def _texts(column: pa.Array) -> pa.Array:
    return (column.dictionary_decode() if pa.types.is_dictionary(column.type) else column).cast(
        pa.string()
    )


def _frequent(profile: Profile, path: Path, name: str) -> list[str]:
    """The most frequent values of a column, most frequent first; none when it has too many."""
    (kind,) = (cast.kind for cast in profile.casts if cast.name == name)
    if kind not in ("text", "integer", "true/false"):
        profile.unsliced[name] = f"it holds values of the kind {kind}, not a few categories"
        return []
    counts: Counter[str] = Counter()
    for _, batch in read_chunks(path, profile.chunks, [name]):
        for row in pc.value_counts(pc.drop_null(_texts(batch.column(0)))).to_pylist():
            counts[row["values"]] += row["counts"]
        if len(counts) > MOST_DISTINCT:
            profile.unsliced[name] = f"it has more than {MOST_DISTINCT:,} values"
            return []
    found = sorted(counts, key=lambda value: (-counts[value], value))
    if len(found) > MOST_VALUES:
        left = sum(counts[value] for value in found[MOST_VALUES:])
        profile.unsliced[name] = (
            f"only its {MOST_VALUES} most frequent values were measured; {left:,} rows hold one of "
            f"the other {len(found) - MOST_VALUES:,}"
        )
    return found[:MOST_VALUES]
