"""The datasheet: where the rows came from, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from shipway.components.ingest.account import Account
from shipway.components.ingest.sources import Source
from shipway.components.lib.objects import StoredObject
from shipway.components.lib.reports import Report
from shipway.components.lib.tables import TableSummary

_WORDS = {"string": "text", "bool": "true/false", "timestamp": "time", "date": "date"}


@dataclass(frozen=True)
class Provenance:
    """Where a table came from.

    Attributes:
        source: its format, columns and notes.
        objects: what was read.
        ignored: URIs beside them that were not read.
        excluded: columns that were left out on request.
        row_limit: rows to read at most; 0 for all.
    """

    source: Source
    objects: Sequence[StoredObject]
    ignored: Sequence[str]
    excluded: Sequence[str]
    row_limit: int


def write_datasheet(
    path: Path, label: str, provenance: Provenance, account: Account, summary: TableSummary
) -> None:
    """Write the page."""
    dropped = +account.dropped
    report = Report(
        "Datasheet",
        f"{account.read:,} rows were read: {summary.rows:,} were kept and {dropped.total():,} "
        f"dropped. {summary.columns:,} columns were kept.",
    )
    report.add_table(
        "Every row accounted for",
        ["rows", "count"],
        [
            ["read", account.read],
            *([f"dropped: {reason}", count] for reason, count in dropped.items()),
            ["kept", summary.rows],
        ],
    )
    notes = _notes(provenance, account, summary)
    if notes:
        report.add_text("Notes", "\n".join(f"- {note}" for note in notes))
    report.add_table(
        f"Where they came from ({provenance.source.format})",
        ["object", "bytes", "generation"],
        [[one.uri, one.size, one.generation] for one in provenance.objects],
        f"SHA-256 of the table as it was written: {summary.sha256}",
    )
    rows = max(summary.rows, 1)
    report.add_table(
        "Columns",
        ["column", "type", "missing", "share missing", "note"],
        [
            [
                field.name,
                word(field.type),
                account.missing[field.name],
                f"{account.missing[field.name] / rows:.2%}",
                _note(field, label, account, summary.rows),
            ]
            for field in provenance.source.schema
        ],
    )
    report.save(path)


def word(kind: pa.DataType) -> str:
    """What an Arrow type is to a person."""
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "number"
    return _WORDS.get(str(kind).split("[")[0].rstrip("3264"), str(kind))


def _note(field: pa.Field, label: str, account: Account, rows: int) -> str:
    notes = ["the label"] if field.name == label else []
    if account.missing[field.name] == rows:
        notes.append("no value at all, kept as text")
    if account.infinite[field.name]:
        notes.append(f"{account.infinite[field.name]:,} infinite, read as missing")
    return "; ".join(notes)


def _notes(provenance: Provenance, account: Account, summary: TableSummary) -> list[str]:
    notes = list(provenance.source.notes)
    if provenance.row_limit:
        reached = (
            "reached, so there may be more rows"
            if account.read >= provenance.row_limit
            else ("not reached")
        )
        notes.append(f"At most {provenance.row_limit:,} rows are read (row_limit): {reached}.")
    if provenance.excluded:
        notes.append(f"Left out by exclude_columns: {', '.join(provenance.excluded)}.")
    if provenance.ignored:
        notes.append(f"Not read, being of no known format: {', '.join(provenance.ignored[:20])}.")
    keys = {
        folder.split("=")[0]
        for one in provenance.objects
        for folder in one.uri.split("/")[:-1]
        if "=" in folder
    }
    if keys:
        notes.append(f"Folder names are not made columns: {', '.join(sorted(keys))}.")
    empty = [name for name, count in account.missing.items() if count == summary.rows]
    if empty:
        notes.append(f"{len(empty):,} columns have no value at all: {', '.join(empty[:20])}.")
    return notes
