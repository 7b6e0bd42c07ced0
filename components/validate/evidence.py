"""What a table shows of an anomaly: how many rows, the first of them, and values in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.private import private_columns
from shipway.components.lib.tables import read_batches, read_schema
from shipway.components.validate.casting import ColumnCast, cast_column, plan_casts
from shipway.components.validate.profile import NUMBER
from shipway.components.validate.schema_check import feature_type

FIRST, LONGEST = 3, 40
TRUTHS = ["true", "false", "0", "1"]

Mask = Callable[[pa.Array], pa.Array]


@dataclass
class Evidence:
    """Where an anomaly stands in the whole table.

    Attributes:
        rows: rows of the table.
        count: rows that show it.
        first: numbers of the first of them, counted from 1.
        examples: different values of theirs, shortened; none where a value is what lacks.
    """

    rows: int = 0
    count: int = 0
    first: list[int] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """All of it in words; empty when no row shows it."""
        if not self.count:
            return ""
        more = ", ..." if self.count > len(self.first) else ""
        held = f", holding {' or '.join(map(repr, self.examples))}" if self.examples else ""
        where = f"row {self.first[0]:,}" if self.count == 1 else f"first rows {_listed(self.first)}"
        return f"{self.count:,} of {self.rows:,} rows ({where}{more}{held})"


def gather(path: Path, schema: Any, anomalies: Sequence[tuple[str, str]]) -> list[Evidence]:
    """Look an anomaly up in the table, all of them in one pass.

    Args:
        path: the Dataset.
        schema: the TFDV Schema that the table was held to.
        anomalies: columns, and TFDV's names of the kinds.
    """
    features = {feature.name: feature for feature in schema.feature}
    columns = read_schema(path)
    casts = {cast.name: cast for cast in plan_casts(columns)}
    hidden = private_columns(columns)
    found = [Evidence() for _ in anomalies]
    masks: list[tuple[Evidence, ColumnCast, Mask]] = []
    for evidence, (column, kind) in zip(found, anomalies, strict=True):
        cast = casts.get(column)
        if cast is None or cast.target is None or column not in features:
            continue
        mask = _mask(kind, features[column], cast, schema)
        if mask is not None:
            masks.append((evidence, cast, mask))
    names = list(dict.fromkeys(cast.name for _, cast, _ in masks))
    if not names:
        return found
    for batch in read_batches(path, names):
        values = dict(zip(batch.schema.names, batch.columns, strict=True))
        for evidence, cast, mask in masks:
            raw = values[cast.name]
            shows = pc.fill_null(mask(cast_column(raw, cast)[0]), False)
            _add(evidence, raw, shows, with_values=cast.name not in hidden)
    return found


def _add(evidence: Evidence, raw: pa.Array, shows: pa.Array, with_values: bool) -> None:
    places = pc.indices_nonzero(shows)
    if len(places) and len(evidence.first) < FIRST:
        new = places.slice(0, FIRST - len(evidence.first)).to_pylist()
        evidence.first += [evidence.rows + place + 1 for place in new]
    if with_values and len(places) and len(evidence.examples) < FIRST:
        for value in pc.unique(raw.take(places.slice(0, 1_000))).to_pylist():
            text = str(value)
            text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"
            if value is not None and text not in evidence.examples:
                evidence.examples = [*evidence.examples, text][:FIRST]
    evidence.count += len(places)
    evidence.rows += len(raw)


def _mask(kind: str, feature: Any, cast: ColumnCast, schema: Any) -> Mask | None:
    """What tells the rows that show an anomaly; None where no single row does."""
    target = cast.target
    if target is None or pa.types.is_nested(target):
        return None
    if "PRESENT" in kind or "NO_VALUES" in kind:
        return pc.is_null  # type: ignore[no-any-return]
    text = pa.types.is_string(target)
    if "UNEXPECTED_STRING" in kind:
        domain = pa.array(_domain(feature, schema), pa.string())
        return lambda column: pc.and_(
            pc.is_valid(column), pc.invert(pc.is_in(column.cast(pa.string()), value_set=domain))
        )
    bounds = _bounds(feature)
    if "_BIG_" in kind and not text and bounds[1] is not None:
        return lambda column: pc.greater(column, pa.scalar(bounds[1], pa.float64()))
    if "_SMALL_" in kind and not text and bounds[0] is not None:
        return lambda column: pc.less(column, pa.scalar(bounds[0], pa.float64()))
    return _mistyped(kind, feature, text, pa.types.is_floating(target))


def _mistyped(kind: str, feature: Any, text: bool, floating: bool) -> Mask | None:
    if not any(part in kind for part in ("DATA_TYPE", "_NOT_", "EXPECTED", "_NOW_")):
        return None
    wanted = feature_type(feature)
    if text and wanted in ("INT", "FLOAT"):
        return lambda column: pc.invert(pc.match_substring_regex(column, NUMBER))
    if floating and wanted == "INT":
        return lambda column: pc.not_equal(column, pc.floor(column))
    return pc.is_valid  # type: ignore[no-any-return]


def _domain(feature: Any, schema: Any) -> list[str]:
    if feature.HasField("string_domain"):
        return list(feature.string_domain.value)
    if feature.HasField("bool_domain"):
        named = [feature.bool_domain.true_value, feature.bool_domain.false_value]
        return [value for value in named if value] or TRUTHS
    return [
        v for domain in schema.string_domain if domain.name == feature.domain for v in domain.value
    ]


def _bounds(feature: Any) -> tuple[float | None, float | None]:
    if feature.HasField("bool_domain"):
        return 0.0, 1.0
    for name in ("int_domain", "float_domain"):
        if feature.HasField(name):
            domain = getattr(feature, name)
            low = float(domain.min) if domain.HasField("min") else None
            return low, float(domain.max) if domain.HasField("max") else None
    return None, None


def _listed(rows: list[int]) -> str:
    return ", ".join(f"{row:,}" for row in rows)
