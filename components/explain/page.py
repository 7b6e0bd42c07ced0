"""The page of an explanation: first what moves the answers, in sentences, then the figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shipway.components.explain.summary import unit_of
from shipway.components.lib import charts
from shipway.components.lib.reports import Report

TOP = 20


def write_page(path: Path, document: Mapping[str, Any]) -> None:
    """Write the HTML page of an explanation."""
    lines = document["summary"]
    lead = lines[0] if lines else "No column moves the answer: the model is a constant."
    report = Report(f"What moves the answers of {document['model_name']}", lead)
    if lines[1:]:
        report.add_text("In words", "\n".join(f"- {line}" for line in lines[1:]))
    columns = document["columns"]
    note = (
        f"Mean size of the exact TreeSHAP contribution over {document['rows']:,} test rows, summed "
        "over the features of a raw column: how far it moves an answer, up or down. It tells what "
        "the model uses, not what causes what."
    )
    unit = unit_of(document)
    size = f"mean contribution ({unit})"
    bars = [{"column": c["column"], size: c["mean"]} for c in columns[:TOP]]
    report.add_figure("Columns", charts.bars(bars, "column", size), note)
    rows = [[c["column"], c["mean"], f"{c['share']:.1%}"] for c in columns]
    report.add_table("Columns in numbers", ["Column", "Mean contribution", "Share"], rows)
    for shape in document["dependence"]:
        _add_dependence(report, shape, unit)
    _add_interactions(report, document["interactions"])
    _add_slices(report, document["slices"])
    report.save(path)


def _add_dependence(report: Report, shape: Mapping[str, Any], unit: str) -> None:
    name, moved = shape["column"], f"contribution ({unit})"
    points = [
        {name: p["value"], "rows": p["n"], moved: p["mean"], "low": p["low"], "high": p["high"]}
        for p in shape["points"]
    ]
    note = "Mean contribution; the band or whisker holds the middle 80% of the rows."
    if "missing" in shape:
        gone = shape["missing"]
        rows = f"{gone['n']:,} row{'s' * (gone['n'] != 1)}"
        note += f" Where it is missing ({rows}): {gone['mean']:+.3g}."
    if shape["kind"] == "number":
        spec = charts.line(points, name, moved, band=("low", "high"), points=True)
    else:
        spec = charts.bars(points, name, moved, interval=("low", "high"))
    report.add_figure(f"How {name} moves the answer", spec, note)


def _add_interactions(report: Report, found: Mapping[str, Any]) -> None:
    rows = [[" with ".join(pair["columns"]), pair["mean"]] for pair in found["pairs"]]
    if rows:
        note = (
            f"Mean size of what two columns do together beyond what each does alone, on "
            f"{found['rows']} rows: few, as this is costly. {found['share']:.0%} of all movement."
        )
        report.add_table("Columns that act together", ["Pair", "Mean interaction"], rows, note)


def _add_slices(report: Report, slices: list[dict[str, Any]]) -> None:
    rows = [
        [
            part["slice"],
            part["n"],
            part["mean"],
            ", ".join(f"{one['column']} {one['share']:.0%}" for one in part["top"]),
            f"{part['differs']['column']}: {part['differs']['share']:.0%} against "
            f"{part['differs']['overall']:.0%}",
        ]
        for part in slices
    ]
    if rows:
        columns = ["Slice", "Rows", "Mean push", "What moves it most", "Differs most from all rows"]
        report.add_table("By slice", columns, rows, "Mean push is that of all columns together.")
