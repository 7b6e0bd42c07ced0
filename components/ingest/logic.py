"""Ingestion: read, drop what cannot be used, account for every row, and say so on a page."""

import errno
import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.ingest.account import Account
from shipway.components.ingest.ahead import ahead
from shipway.components.ingest.datasheet import DATASHEET, Provenance, describe
from shipway.components.ingest.inspection import FoundLateError, Inspected, Inspection, Wishes
from shipway.components.ingest.opening import Asked, open_asked
from shipway.components.ingest.page import write_page
from shipway.components.ingest.privacy import Policy
from shipway.components.ingest.rejects import Rejects
from shipway.components.ingest.sources import Source
from shipway.components.ingest.typed import TypesWidenedError
from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.objects import StoredObject
from shipway.components.lib.storage import check_unchanged
from shipway.components.lib.tables import TableSummary, TableWriter

LABEL_MISSING = "the label is missing"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to read.

    Attributes:
        data_uri: file, glob or directory, local or of a bucket; or a database.
        label: column to predict.
        exclude_columns: columns that are never written.
        data_format: auto, csv, jsonl, parquet, feather, orc or avro.
        missing_values: cells to read as missing, beside the usual ones.
        row_limit: rows to read at most; 0 reads all.
        read_options: how text is read.
        maximum_rejected_share: of rows that may be left out because they cannot be read.
        query: SQL, where data_uri is a database and does not hold it.
        wishes: what is done about personal data.
        about_data: facts for the datasheet, such as owner, purpose and retention.
    """

    data_uri: str
    label: str
    exclude_columns: Sequence[str] = field(default_factory=list)
    data_format: str = "auto"
    missing_values: Sequence[str] = field(default_factory=list)
    row_limit: int = 0
    read_options: Mapping[str, str] = field(default_factory=dict)
    maximum_rejected_share: float = 0.0
    query: str = ""
    wishes: Wishes = field(default_factory=Wishes)
    about_data: Mapping[str, str] = field(default_factory=dict)


def ingest(request: Request, dataset: Path, datasheet: Path) -> dict[str, str | float]:
    """Write a source's rows as a Dataset, and the page that accounts for them.

    Returns:
        Flat metadata of the Dataset.

    Raises:
        ConfigurationError: a column that is named does not exist, or the format cannot be told.
        DataError: the source cannot be read, its label cannot be learnt, or the disk is full.
            Nothing is written then.
    """
    if request.row_limit < 0:
        raise ConfigurationError(f"row_limit={request.row_limit} must be 0 (all rows) or more.")
    # What columns hold that are left out must not stand in the text of rejected rows either.
    open_text = not request.exclude_columns and not request.wishes.privacy
    rejects = Rejects(request.maximum_rejected_share, with_text=open_text)
    asked = Asked.of(request.data_uri, request.query)
    request = replace(request, data_uri=asked.uri)  # a query in it is too long for a message
    policies: dict[str, Policy] = {}
    opened = open_asked(
        asked,
        request.data_format,
        request.missing_values,
        lambda names: _kept_columns(names, request, policies),
        int(request.row_limit),
        request.read_options,
        rejects,
    )
    objects = opened.objects
    source, account, seen, summary = _write(
        request, opened.source, objects, rejects, policies, dataset
    )
    provenance = Provenance(
        source, objects, opened.ignored, request.exclude_columns, request.row_limit, opened.query
    )
    sheet = describe(request.label, request.about_data, provenance, account, seen, summary)
    try:
        write_json_aside(dataset / DATASHEET, sheet)
        write_page(datasheet, sheet)
    except OSError as error:
        shutil.rmtree(dataset, ignore_errors=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            f"The disk of '{datasheet.parent}' is full; nothing was left there. Free space, or "
            "point the run at a larger disk."
        ) from error
    _log.info(
        "ingested %s: %d rows read, %d kept, dropped %s",
        request.data_uri, account.read, summary.rows, dict(+account.dropped),
    )  # fmt: skip
    return {
        **summary.metadata(),
        **opened.metadata(),
        "rows_read": float(account.read),
        "rows_dropped": float(account.dropped.total()),
        **account.metadata(),
        **seen.metadata(),
    }


def _write(
    request: Request,
    source: Source,
    objects: Sequence[StoredObject],
    rejects: Rejects,
    policies: Mapping[str, Policy],
    dataset: Path,
) -> tuple[Source, Account, Inspected, TableSummary]:
    """Write the rows; again from the first one when types or privacy were guessed wrong."""
    found: frozenset[str] = frozenset()
    while True:
        account = Account()
        rejects.begin()
        try:
            with ExitStack() as stack:
                rows = stack.enter_context(closing(ahead(source.batches(), 1)))
                passing = stack.enter_context(
                    Inspection(source.schema, policies, request.wishes, request.label)
                )
                first = next(rows, None)
                schema = passing.begin(first, found)
                writer = stack.enter_context(TableWriter(dataset, schema))
                for batch in chain([first] if first is not None else [], rows):
                    kept = _kept_rows(passing.change(batch), request.label, account)
                    writer.write(passing.count(kept))
                for stored in objects:
                    check_unchanged(stored)
                rejects.check(account.read)
                account.reject(rejects.count)
                _check_label(request, account)
                rejects.save(writer.attach)
                seen = passing.end()
        except FoundLateError as late:
            _log.info("personal data beyond the first rows: reading again from the beginning")
            found = late.columns
            continue
        except TypesWidenedError as widened:
            _log.info("rows of other types than the first: reading again from the beginning")
            source = replace(source, schema=widened.schema)
            continue
        assert writer.summary is not None
        if note := rejects.note():
            source.notes.append(note)
        return source, account, seen, writer.summary


def _kept_columns(names: Sequence[str], request: Request, policies: dict[str, Policy]) -> list[str]:
    """The columns to read; the policies of what is not excluded are put into `policies`."""
    if request.label not in names:
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise ConfigurationError(
            f"label='{request.label}' is no column of '{request.data_uri}'."
            f"{nearest(request.label, names)} It has {shown}."
        )
    for name in request.exclude_columns:
        if name not in names:
            raise ConfigurationError(
                f"exclude_columns names '{name}', which is no column of '{request.data_uri}'."
                f"{nearest(name, names)}"
            )
        if name == request.label:
            raise ConfigurationError(f"exclude_columns names the label '{name}'. Take it out.")
    excluded = set(request.exclude_columns)
    kept = [name for name in names if name not in excluded]
    if len(kept) < 2:
        raise ConfigurationError(
            f"'{request.data_uri}' has no column beside the label that is not excluded. Exclude "
            "fewer columns, or bring a table with features."
        )
    policies.update(request.wishes.policies(kept, request.label))
    return [name for name in kept if name not in policies or policies[name].action != "drop"]


def _kept_rows(table: pa.Table, label: str, account: Account) -> pa.Table:
    for place, name in enumerate(table.column_names):
        values = table.column(place)
        if pa.types.is_floating(values.type):
            finite = pc.is_finite(values)  # null for null
            if pc.all(finite).as_py() is False:
                account.infinite[name] += pc.sum(pc.is_inf(values)).as_py() or 0
                values = pc.if_else(finite, values, pa.scalar(None, values.type))
                table = table.set_column(place, table.schema.field(place), values)
    return account.kept(table, label)


def _check_label(request: Request, account: Account) -> None:
    if account.read == 0:
        raise DataError(
            f"'{request.data_uri}' has no rows: only a header stands there. Bring data."
        )
    if len(account.labels) < 2:
        held = f"only {account.labels[0]!r}" if account.labels else "no value"
        raise DataError(
            f"The label '{request.label}' holds {held} in {account.read:,} rows, so there is "
            "nothing to learn. Choose another label, or data in which it varies."
        )
