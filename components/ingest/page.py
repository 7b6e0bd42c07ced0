"""The datasheet as a page: where the rows came from, what became of each, what they hold."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from shipway.components.ingest.datasheet import ASKED, DATASHEET
from shipway.components.ingest.privacy_groups import SMALL
from shipway.components.lib.cells import chip, isolated, number_text
from shipway.components.lib.private import PRIVATE
from shipway.components.lib.reports import Report

DATA_BYTES = 250_000
MOST_TOLD = 5
WORDS = {
    "purpose": "What it was made for",
    "owner": "Who owns it",
    "collection": "How it was collected",
    "consent": "Consent, or another ground",
    "uses": "Fit for",
    "limits": "Not fit for; known limits",
    "licence": "Licence",
    "retention": "Kept until",
    "contact": "Whom to ask",
    "updates": "Updates",
}
COLUMNS = ["Column", "Type", "Missing", "Share missing", "Minimum", "Mean", "Maximum"]
COLUMNS += ["Most frequent", "Note"]
LOOKED_FOR = (
    "Looked for by form: e-mail addresses, telephone numbers, payment cards, IBANs, IP and MAC "
    "addresses, US social security numbers; by the column's name: names of persons, addresses, "
    "dates of birth, identity documents, identifiers of persons. A name within free text is not "
    "found, nor is anything in rows that were not sampled."
)
DECIDE = (
    "Decide on each column with a warning by the parameter privacy: keep, drop, hash, mask or "
    "bucket. Until then it is written as it is, and no page shows its values."
)
SERVING = (
    "The endpoint expects what stands in the table: a request must bring hashed, masked and "
    "bucketed columns already changed in the same way."
)


def write_page(path: Path, sheet: Mapping[str, Any]) -> None:
    """Write the page of a datasheet; the JSON stands in it too, as far as there is room."""
    rows, private = sheet["rows"], sheet["privacy"]
    dropped = sum(rows["dropped"].values())
    lead = (
        f"{rows['read']:,} rows were read: {rows['kept']:,} were kept and {dropped:,} dropped. "
        f"{sheet['composition']['columns']:,} columns were kept."
    )
    open_ = private["without_policy"]
    if open_:
        lead += f" Personal data seems to stand in {len(open_):,} of them, without a policy."
    reasons = [_open(one) for one in private["found"] if one["column"] in open_]
    report = Report("Datasheet", lead, "warning" if open_ else "", reasons[:MOST_TOLD])
    report.add_data("datasheet", _fitting(sheet))
    _add_stated(report, "Motivation", sheet, "motivation", _not_stated(sheet))
    _add_rows(report, sheet)
    _add_privacy(report, private)
    _add_composition(report, sheet)
    _add_collection(report, sheet)
    _add_stated(report, "Uses", sheet, "uses")
    _add_stated(report, "Distribution", sheet, "distribution")
    _add_stated(report, "Maintenance", sheet, "maintenance")
    if sheet["further"]:
        report.add_table("Further facts", ["Fact", "As stated"], list(sheet["further"].items()))
    report.save(path)


def _open(one: Mapping[str, Any]) -> str:
    seen = f"{one['share']:.1%} of its values look like it" if "share" in one else "by its name"
    return f"{one['column']}: {one['kind']} ({seen}). Name a policy for it in privacy."


def _fitting(sheet: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(json.dumps(sheet)) <= DATA_BYTES:
        return sheet
    more = {"objects": f"see {DATASHEET} beside the table"}
    less = {**sheet, "collection": {**sheet["collection"], **more}, "columns": more["objects"]}
    return less if len(json.dumps(less)) <= DATA_BYTES else {"format": sheet["format"], **more}


def _not_stated(sheet: Mapping[str, Any]) -> str:
    missing = ", ".join(sheet["not_stated"])
    return f"Not stated: {missing}. Give them by the parameter about_data." if missing else ""


def _add_stated(
    report: Report, heading: str, sheet: Mapping[str, Any], part: str, note: str = ""
) -> None:
    stated = [[WORDS[key], sheet[part][key]] for key in ASKED[part] if key in sheet[part]]
    if stated:
        report.add_table(heading, ["Fact", "As stated"], stated, note)
    elif note:
        report.add_text(heading, note)


def _add_composition(report: Report, sheet: Mapping[str, Any]) -> None:
    sample = sheet["sample"]
    frequent = (
        "Frequent values are of all rows."
        if sample["all"]
        else f"Frequent values are of {sample['rows']:,} rows spread evenly over the table."
    )
    rows = [_column(one) for one in sheet["columns"]]
    kept = [i for i in range(len(COLUMNS)) if any(row[i] not in (None, "") for row in rows)]
    report.add_table(
        "Composition: the columns",
        [COLUMNS[i] for i in kept],
        [[row[i] for i in kept] for row in rows],
        frequent,
    )


def _column(one: Mapping[str, Any]) -> list[object]:
    ends: list[object] = [_plain(one.get(key)) for key in ("minimum", "mean", "maximum")]
    # Each value stands for itself: text that runs right to left would move its share elsewhere.
    told = (
        Markup("{} ({})").format(isolated(_told(v["value"], one["type"])), f"{v['share']:.1%}")
        for v in one.get("top", [])
    )
    top = Markup(", ").join(told)
    if one.get("private"):
        ends, top = [None] * 3, chip(PRIVATE)
    share = f"{one['missing_share']:.2%}" if one["missing"] else "0%"
    return [
        one["name"], one["type"], one["missing"], share, *ends, top or None, one.get("note"),
    ]  # fmt: skip


def _told(value: str, kind: str) -> str:
    return value.lower() if kind == "true/false" else value


def _plain(value: object) -> object:
    return value.removesuffix("T00:00:00") if isinstance(value, str) else value


def _add_privacy(report: Report, private: Mapping[str, Any]) -> None:
    found, policies = private["found"], private["policies"]
    rows = [
        [
            one["column"],
            one["kind"],
            f"{one['share']:.1%} of {one['sampled']:,} values" if "share" in one else None,
            "yes" if one["named"] else None,
            policies.get(one["column"]) or Markup("{} none").format(chip("warning")),
        ]
        for one in found
    ]
    names = {one["column"] for one in found}
    rows += [
        [name, None, None, None, policy] for name, policy in policies.items() if name not in names
    ]
    heading = "Personal data"
    if rows:
        head = ["Column", "Seems to hold", "Found in", "Its name tells", "Policy"]
        note = f"{DECIDE} {LOOKED_FOR}" if private["without_policy"] else LOOKED_FOR
        report.add_table(heading, head, rows, note)
    else:
        report.add_text(heading, f"None was found. {LOOKED_FOR}")
    if any(policy.split(":")[0] in ("hash", "mask", "bucket") for policy in policies.values()):
        report.add_text("", SERVING)
    _add_anonymity(report, private["anonymity"])


def _add_anonymity(report: Report, counted: Mapping[str, Any] | None) -> None:
    if not counted:
        return
    share = counted["small_rows"] / max(1, counted["rows"])
    report.add_table(
        "How well rows hide among others (k-anonymity)",
        [
            "Columns together",
            "Groups",
            "Rows of the smallest",
            f"Rows in groups below {SMALL}",
            "Share",
        ],
        [
            [
                counted["columns"],
                counted["groups"],
                counted["smallest"],
                counted["small_rows"],
                f"{share:.2%}",
            ]
        ],
        f"Everybody shares these values with at least {number_text(counted['smallest'] - 1)} "
        "others. Coarser buckets make groups larger.",
    )


def _add_collection(report: Report, sheet: Mapping[str, Any]) -> None:
    came = sheet["collection"]
    _add_stated(report, "Collection", sheet, "collection")
    if "query" in came:
        asked = [["query", came["query"]], ["SHA-256 of the query", came["query_sha256"]]]
        report.add_table("The query", ["Fact", "Value"], asked)
    report.add_table(
        f"Where the rows came from ({came['format']})",
        ["Object", "Bytes", "Generation"],
        [[one["uri"], one["size"], one["generation"]] for one in came["objects"]],
        f"SHA-256 of the table as it was written: {sheet['composition']['sha256']}",
    )


def _add_rows(report: Report, sheet: Mapping[str, Any]) -> None:
    rows = sheet["rows"]
    report.add_table(
        "Preprocessing: every row accounted for",
        ["Rows", "Count"],
        [
            ["read", rows["read"]],
            *([f"dropped: {reason}", count] for reason, count in rows["dropped"].items()),
            ["kept", rows["kept"]],
        ],
    )
    if sheet["notes"]:
        report.add_text("Notes", "\n".join(f"- {note}" for note in sheet["notes"]))
