"""The datasheet of a table, as JSON, after Gebru et al., Datasheets for Datasets (2021)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from shipway.components.ingest.account import Account
from shipway.components.ingest.inspection import Inspected
from shipway.components.ingest.privacy_scan import Finding
from shipway.components.ingest.sources import Source
from shipway.components.lib.objects import StoredObject
from shipway.components.lib.private import is_private
from shipway.components.lib.tables import TableSummary

DATASHEET = "_datasheet.json"  # readers of a table pass over names that begin with "_"
FORMAT = "shipway.datasheet/1"
# What a table cannot tell of itself, by the section in which it stands.
ASKED = {
    "motivation": ("purpose", "owner"),
    "collection": ("collection", "consent"),
    "uses": ("uses", "limits"),
    "distribution": ("licence",),
    "maintenance": ("retention", "contact", "updates"),
}
_WORDS = {"string": "text", "bool": "true/false", "timestamp": "time", "date": "date"}

Sheet = dict[str, Any]


@dataclass(frozen=True)
class Provenance:
    """Where a table came from.

    Attributes:
        source: its format, columns and notes.
        objects: what was read.
        ignored: URIs beside them that were not read.
        excluded: columns that were left out on request.
        row_limit: rows to read at most; 0 for all.
        query: facts of the query; empty for objects.
    """

    source: Source
    objects: Sequence[StoredObject]
    ignored: Sequence[str]
    excluded: Sequence[str]
    row_limit: int
    query: Mapping[str, str] = field(default_factory=dict)


def describe(
    label: str,
    about: Mapping[str, str],
    provenance: Provenance,
    account: Account,
    seen: Inspected,
    summary: TableSummary,
) -> Sheet:
    """The datasheet.

    Args:
        label: the column to predict.
        about: what the owner says of the table; keys beside the usual stand under "further".
        provenance: where it came from.
        account: where every row went.
        seen: what the pass over the rows showed.
        summary: what was written.
    """
    said = {key: str(value) for key, value in about.items() if str(value).strip()}
    known = [key for keys in ASKED.values() for key in keys]
    stated = {part: {k: said[k] for k in keys if k in said} for part, keys in ASKED.items()}
    return {
        "format": FORMAT,
        "label": label,
        **stated,
        "collection": {
            **stated["collection"],
            "format": provenance.source.format,
            **provenance.query,
            "objects": [asdict(one) for one in provenance.objects],
        },
        "further": {key: value for key, value in said.items() if key not in known},
        "not_stated": [key for key in known if key not in said],
        "composition": {"rows": summary.rows, "columns": summary.columns, "sha256": summary.sha256},
        "rows": {
            "read": account.read,
            "dropped": dict(+account.dropped),
            "kept": summary.rows,
        },
        "notes": _notes(provenance, account, summary),
        "privacy": _privacy(seen),
        "sample": {"rows": seen.sampled, "all": seen.whole},
        "columns": [_column(one, label, account, seen, summary.rows) for one in seen.schema],
    }


def word(kind: pa.DataType) -> str:
    """What an Arrow type is to a person."""
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "number"
    return _WORDS.get(str(kind).split("[")[0].rstrip("3264"), str(kind))


def _privacy(seen: Inspected) -> Sheet:
    return {
        "found": [_finding(one) for one in seen.findings],
        "without_policy": sorted({one.column for one in seen.open}),
        "policies": {name: policy.text for name, policy in seen.policies.items()},
        "private": [one.name for one in seen.schema if is_private(one)],
        "anonymity": asdict(seen.anonymity) if seen.anonymity else None,
    }


def _finding(one: Finding) -> Sheet:
    share = round(one.share, 4)
    told = {"share": share, "sampled": one.sampled} if share else {}
    return {"column": one.column, "kind": one.kind, "named": one.hinted, **told}


def _column(one: pa.Field, label: str, account: Account, seen: Inspected, rows: int) -> Sheet:
    missing = account.missing[one.name]
    notes = ["the label"] if one.name == label else []
    if missing == rows:
        notes.append("no value at all, kept as text")
    if account.infinite[one.name]:
        notes.append(f"{account.infinite[one.name]:,} infinite, read as missing")
    if one.name in seen.policies:
        notes.append(f"privacy: {seen.policies[one.name].text}")
    return {
        "name": one.name,
        "type": word(one.type),
        "arrow": str(one.type),
        "missing": missing,
        "missing_share": round(missing / max(rows, 1), 6),
        **seen.facts[one.name],
        **({"note": "; ".join(notes)} if notes else {}),
    }


def _notes(provenance: Provenance, account: Account, summary: TableSummary) -> list[str]:
    notes = list(provenance.source.notes)
    if provenance.row_limit:
        reached = account.read >= provenance.row_limit
        more = "reached, so there may be more rows" if reached else "not reached"
        notes.append(f"At most {provenance.row_limit:,} rows are read (row_limit): {more}.")
    if provenance.excluded:
        notes.append(f"Left out by exclude_columns: {', '.join(provenance.excluded)}.")
    if provenance.ignored:
        notes.append(f"Not read, being of no known format: {', '.join(provenance.ignored[:20])}.")
    empty = [name for name, count in account.missing.items() if count == summary.rows]
    if empty:
        notes.append(f"{len(empty):,} columns have no value at all: {', '.join(empty[:20])}.")
    return notes
