"""The sections of a ranking on the evaluation's page, and what does not apply to one."""

from collections.abc import Sequence
from typing import Any

from shipway.components.evaluate.queries import MAIN
from shipway.components.lib import charts
from shipway.components.lib.reports import Report

NOT_APPLICABLE = (
    "Calibration, threshold, confusion, ROC and residuals are not applicable: a score tells the "
    "order of the rows of one query, it is no probability and no amount, and nothing is cut off. "
    "Where groups are compared for fairness, the positive answer is a place among the first ten of "
    "a query, at most in its first half."
)


def add_queries(report: Report, document: dict[str, Any]) -> None:
    """The sections of a ranking."""
    found = document.get("ranking")
    if not found:
        return
    bars = [
        {"rows of the query": one["rows"], MAIN: one["value"]} | one for one in found["by_size"]
    ]
    if bars:
        spec = charts.bars(bars, "rows of the query", MAIN, interval=("low", "high"))
        note = "Queries in groups of about as many, by how many rows they have."
        report.add_figure(f"{MAIN} by size of the query", spec, note)
    columns = ["First places", "Queries", "Relevant there", "Low", "High", "Of all rows", "Lift"]
    keys = ("top", "queries", "value", "low", "high", "usual", "lift")
    note = "Of queries with more rows than that and a relevant one; the lift of no order is 1."
    report.add_table("What the first places hold", columns, _cells(found["first"], keys), note)
    columns = [f"Query ({found['query_column']})", "Rows", "Relevant", MAIN]
    cells = _cells(found["worst"], ("query", "rows", "relevant", "value"))
    report.add_table("The worst queries", columns, cells)
    report.add_text("Not applicable", NOT_APPLICABLE)


def counted(found: dict[str, Any]) -> str:
    """How many queries there are, and which count."""
    text = (
        f"{found['queries']:,} queries of {found['rows']:.0f} rows (median), by "
        f"'{found['query_column']}'; {found['queries'] - found['measured']:,} have no relevant row "
        f"and are left out of every metric"
    )
    if found["alike"]:
        text += f"; {found['alike']:,} have one grade for all rows, so that any order of them is 1"
    return text + "."


def _cells(entries: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[list[Any]]:
    return [[entry[key] for key in keys] for entry in entries]
