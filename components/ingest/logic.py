"""Ingestion: read, drop what cannot be used, account for every row, and say so on a page."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.ingest.sources import Source, open_source
from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.reports import Report
from shipway.components.lib.storage import StoredObject, check_unchanged, list_objects
from shipway.components.lib.tables import TableSummary, TableWriter

LABEL_MISSING = "the label is missing"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to read.

    Attributes:
        data_uri: file, glob or directory, local or gs://.
        label: column to predict.
        exclude_columns: columns that are never written.
        data_format: auto, csv, parquet or jsonl.
        missing_values: cells to read as missing, beside the usual ones.
        row_limit: rows to read at most; 0 reads all.
    """

    data_uri: str
    label: str
    exclude_columns: Sequence[str] = field(default_factory=list)
    data_format: str = "auto"
    missing_values: Sequence[str] = field(default_factory=list)
    row_limit: int = 0


@dataclass
class _Account:
    """Where every row and cell went."""

    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    not_finite: Counter[str] = field(default_factory=Counter)
    labels: set[object] = field(default_factory=set)


def ingest(request: Request, dataset: Path, datasheet: Path) -> dict[str, str | float]:
    """Write a source's rows as a Dataset, and the page that accounts for them.

    Returns:
        Flat metadata of the Dataset.

    Raises:
        ConfigurationError: a column that is named does not exist, or the format cannot be told.
        DataError: the source cannot be read, or its label cannot be learnt. Nothing is written.
    """
    if request.row_limit < 0:
        raise ConfigurationError(f"row_limit={request.row_limit} must be 0 (all rows) or more.")
    objects = list_objects(request.data_uri)
    source = open_source(objects, request.data_format, request.missing_values)
    schema = _kept_columns(source.schema, request)
    account = _Account()
    with TableWriter(dataset, schema) as writer:
        for batch in _limited(source, request.row_limit, account):
            writer.write(_kept_rows(batch, schema, request.label, account))
        for stored in objects:
            check_unchanged(stored)
        _check_label(request, account)
    assert writer.summary is not None
    _write_page(datasheet, request, source, objects, account, writer.summary, schema)
    dropped = sum(account.dropped.values())
    _log.info(
        "ingested %s: %d rows read, %d kept, %d dropped %s",
        request.data_uri, account.read, writer.summary.rows, dropped, dict(account.dropped),
    )  # fmt: skip
    return {
        **writer.summary.metadata(),
        "source_uri": request.data_uri,
        "source_generation": ",".join(one.generation for one in objects)[:200],
        "rows_read": float(account.read),
        "rows_dropped": float(dropped),
    }


def _kept_columns(schema: pa.Schema, request: Request) -> pa.Schema:
    names = schema.names
    if request.label not in names:
        raise ConfigurationError(
            f"label='{request.label}' is no column of '{request.data_uri}'."
            f"{nearest(request.label, names)} It has {', '.join(names[:20])}."
        )
    for name in request.exclude_columns:
        if name not in names:
            raise ConfigurationError(
                f"exclude_columns names '{name}', which is no column of '{request.data_uri}'."
                f"{nearest(name, names)}"
            )
        if name == request.label:
            raise ConfigurationError(f"exclude_columns names the label '{name}'. Take it out.")
    kept = [one for one in schema if one.name not in request.exclude_columns]
    if len(kept) < 2:
        raise ConfigurationError("No column is left beside the label. Exclude fewer columns.")
    return pa.schema(kept)


def _limited(source: Source, limit: int, account: _Account) -> Iterator[pa.RecordBatch]:
    for batch in source.batches():
        room = limit - account.read if limit else batch.num_rows
        if room <= 0:
            return
        kept = batch.slice(0, room)
        account.read += kept.num_rows
        yield kept


def _kept_rows(batch: pa.RecordBatch, schema: pa.Schema, label: str, account: _Account) -> pa.Table:
    arrays = []
    for one in schema:
        values = batch.column(batch.schema.get_field_index(one.name))
        if pa.types.is_floating(values.type):
            finite = pc.fill_null(pc.is_finite(values), True)
            account.not_finite[one.name] += len(values) - pc.sum(finite).as_py()
            values = pc.if_else(finite, values, pa.scalar(None, values.type))
        arrays.append(values)
    table = pa.Table.from_arrays(arrays, schema=schema)
    table = table.filter(pc.is_valid(table.column(label)))
    account.dropped[LABEL_MISSING] += batch.num_rows - table.num_rows
    for name, column in zip(table.column_names, table.columns, strict=True):
        account.missing[name] += column.null_count
    if len(account.labels) < 2:
        account.labels |= set(pc.unique(table.column(label)).to_pylist()[:2])
    return table


def _check_label(request: Request, account: _Account) -> None:
    if account.read == 0:
        raise DataError(f"'{request.data_uri}' has no rows below its header. Bring data.")
    if len(account.labels) < 2:
        held = f"only {next(iter(account.labels))!r}" if account.labels else "no value"
        raise DataError(
            f"The label '{request.label}' holds {held} in {account.read:,} rows: there is nothing to "
            "learn. Choose another label, or data in which it varies."
        )


def _write_page(
    path: Path,
    request: Request,
    source: Source,
    objects: Sequence[StoredObject],
    account: _Account,
    summary: TableSummary,
    schema: pa.Schema,
) -> None:
    dropped = {reason: count for reason, count in account.dropped.items() if count}
    limit = f" (row_limit={request.row_limit:,})" if request.row_limit else ""
    report = Report(
        "Datasheet",
        f"{account.read:,} rows were read{limit}: {summary.rows:,} were kept and "
        f"{sum(dropped.values()):,} dropped. {summary.columns} columns were kept.",
    )
    rows: list[list[object]] = [["read", account.read]]
    rows += [[f"dropped: {reason}", count] for reason, count in dropped.items()]
    report.add_table("Every row accounted for", ["rows", "count"], [*rows, ["kept", summary.rows]])
    report.add_table(
        f"Where they came from ({source.format})",
        ["object", "bytes", "generation"],
        [[one.uri, one.size, one.generation] for one in objects],
        f"SHA-256 of the table as it was written: {summary.sha256}",
    )
    report.add_table(
        "Columns",
        ["column", "type", "missing", "not finite, read as missing"],
        [
            [
                one.name + (" (label)" if one.name == request.label else ""),
                str(one.type),
                f"{account.missing[one.name] / max(summary.rows, 1):.2%}",
                account.not_finite[one.name] or "",
            ]
            for one in schema
        ],
        f"Left out by exclude_columns: {', '.join(request.exclude_columns) or 'none'}.",
    )
    report.save(path)
