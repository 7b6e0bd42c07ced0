"""Private columns: marked in a Dataset's schema, so that no page shows their values."""

from collections.abc import Iterable

import pyarrow as pa

MARK = b"shipway.private"
PRIVATE = "private"


def mark_private(field: pa.Field) -> pa.Field:
    """The field, marked; Parquet keeps the mark."""
    return field.with_metadata({**(field.metadata or {}), MARK: b"1"})


def is_private(field: pa.Field) -> bool:
    """Whether a page must not show this column's values."""
    return bool((field.metadata or {}).get(MARK) == b"1")


def private_columns(schema: Iterable[pa.Field]) -> frozenset[str]:
    """The names of the columns whose values no page may show."""
    return frozenset(field.name for field in schema if is_private(field))


def unnamed_value(column: str, number: int) -> str:
    """How a page tells the values of a private column apart."""
    return f"{column}={PRIVATE} ({number})"
