"""The page of an evaluation: first whether the model can ship, then where it is strong and weak."""

from pathlib import Path
from typing import Any

import numpy as np

from shipway.components.evaluate.flips import add_flips
from shipway.components.evaluate.intervals import add_intervals
from shipway.components.evaluate.query_page import add_queries, counted
from shipway.components.evaluate.sections import (
    add_cost,
    add_fairness,
    add_group_rates,
    add_learning_curve,
    add_ranking,
    add_regions,
    add_residuals,
    add_robustness,
    add_stability,
)
from shipway.components.evaluate.verdict import reasons_against
from shipway.components.lib import charts
from shipway.components.lib.cells import number_text
from shipway.components.lib.decision import surely_better
from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.metric_words import said_of
from shipway.components.lib.reports import Report
from shipway.components.lib.task import TASKS


def write_page(path: Path, document: dict[str, Any], held: HeldOut) -> None:
    """Write the HTML page.

    Args:
        path: of the page.
        document: the evaluation, as its JSON file holds it.
        held: the scored test rows, for the charts that need every row.
    """
    better = bool(document["gain"]) and surely_better(document["gain"])
    report = Report(
        f"Evaluation of {document['model_name']}",
        _lead(document),
        "pass" if better else "fail",
        reasons_against(document),
    )
    _add_metrics(report, document)
    add_intervals(report, document)
    _add_slices(report, document)
    add_regions(report, document)
    add_fairness(report, document)
    add_queries(report, document)
    _add_calibration(report, document)
    report.end_paper()
    add_group_rates(report, document)
    if document["task"] == "binary":
        add_ranking(report, document)
        _add_roc(report, document)
    _add_confusion(report, document)
    add_residuals(report, document)
    add_robustness(report, document)
    add_flips(report, document)
    add_stability(report, document)
    add_learning_curve(report, document)
    add_cost(report, document)
    if document["task"] == "regression":
        errors = np.asarray(held.prediction.values, dtype=np.float64) - held.y
        note = "Left of zero the model said too little, right of zero too much."
        spec = charts.histogram(errors, "prediction minus truth")
        report.add_figure("Errors", spec, note)
    report.add_text("What was evaluated", _subject(document))
    report.save(path)


def _lead(document: dict[str, Any]) -> str:
    main, rows = document["main_metric"], f"{document['rows']:,} test rows"
    metric, gain = document["metrics"].get(main), document["gain"]
    if metric is None or gain is None:
        return f"{main} could not be measured on {rows}: bring test rows of every class."
    constant = document["baselines"]["constant"][main]
    percent = f"{document['level']:.0%}"
    said = f"{main} is {number_text(metric['value'])} on {rows}"
    if metric["low"] is not None:
        said += (
            f" ({percent} interval {number_text(metric['low'])} to {number_text(metric['high'])})"
        )
    said += f"; {TASKS[document['task']].constant} gets {number_text(constant)}. "
    if surely_better(gain):
        return said + "The model is better beyond chance. Whether it ships is for the gate to say."
    if gain["low"] > 0:
        return said + (
            f"The model is better at {percent}, and the gate asks for 99.9%: bring more test rows."
        )
    if gain["high"] < 0:
        return said + "The model is worse than no model: do not ship it."
    return said + "The difference may be chance: do not ship it on these rows alone."


def _add_metrics(report: Report, document: dict[str, Any]) -> None:
    baselines = document["baselines"]
    rows = [
        [
            name,
            metric["value"],
            metric["low"],
            metric["high"],
            *[values.get(name) for values in baselines.values()],
            said_of(name),
        ]
        for name, metric in document["metrics"].items()
    ]
    titles = [name.replace("_", " ").capitalize() for name in baselines]
    columns = ["Metric", "Value", "Low", "High", *titles, "What it is"]
    task = document["task"]
    named = "DeLong's for AUC, " if task == "binary" else ""
    means = "" if task == "ranking" else "Wilson's for shares, Hall's for means, else "
    unit = "queries" if task == "ranking" else "rows"
    note = (
        f"Low and high are the ends of a {document['level']:.0%} interval: {named}{means}by "
        f"bootstrap over the {unit}."
    )
    if task == "binary":
        note += " Precision, recall, F1 and accuracy hold at the model's own threshold."
    if document["unseen_classes"]:
        unseen = ", ".join(f"{name} ({n:,})" for name, n in document["unseen_classes"].items())
        note += f" Rows of classes that training never saw count as errors of accuracy: {unseen}."
    report.add_table("Metrics", columns, rows, note)
    _add_gains(report, document)


def _add_gains(report: Report, document: dict[str, Any]) -> None:
    main, rows = document["main_metric"], []
    for name, gains in document["gains"].items():
        gain = gains.get(main)
        if gain:
            better, worse = gain["low"] > 0, gain["high"] < 0
            said = "better" if better else "worse" if worse else "may be chance"
            words = document["baseline_words"].get(name, "")
            title = name.replace("_", " ").capitalize()
            rows.append([title, words, gain["value"], gain["low"], gain["high"], said])
    columns = ["Baseline", "What it is", f"Gain in {main}", "Low", "High", "The model is"]
    note = (
        f"Baselines are fitted on {document['taught_by']} rows, as the model is, and scored on the "
        "same test rows; the interval is of the paired difference, positive where the model is "
        "better."
    )
    report.add_table("Against baselines", columns, rows, note)


def _add_slices(report: Report, document: dict[str, Any]) -> None:
    slices, main = document["slices"], document["main_metric"]
    if not slices:
        text = "No column of text or booleans with 2 to 8 values was found; name slice_columns."
        report.add_text("Slices", text)
        return
    others = [name for name in document["metrics"] if name != main]
    rows = []
    for part in slices:
        low, high = part.get("interval") or (None, None)
        values = [part["metrics"].get(name) for name in others]
        rows.append([part["slice"], part["n"], part["metrics"].get(main), low, high, *values])
    bars = [
        {"slice": part["slice"], main: part["metrics"][main], "low": part["interval"][0]}
        | {"high": part["interval"][1]}
        for part in slices
        if part.get("interval")
    ]
    if bars:
        spec = charts.bars(bars, "slice", main, interval=("low", "high"))
        report.add_figure(f"{main} by slice", spec, "Slices with rows enough for an interval.")
    note = "A metric that is undefined on a slice, such as AUC where one class is, is left empty."
    report.add_table("Slices", ["Slice", "Rows", main, "Low", "High", *others], rows, note)


def _add_roc(report: Report, document: dict[str, Any]) -> None:
    names = ("false positive rate", "true positive rate")
    points = [dict(zip(names, point, strict=False)) for point in document["roc"]]
    if points:
        spec = charts.line(points, *names, diagonal=True, description="ROC curve.")
        report.add_figure("ROC curve", spec, "The dashed line is guessing.")


def _add_calibration(report: Report, document: dict[str, Any]) -> None:
    table, task = document["calibration"], document["task"]
    if not table:
        return
    said = {
        "binary": f"probability of {document['positive_class']}",
        "multiclass": "probability of the predicted class",
        "regression": "predicted value",
    }[task]
    came = "observed mean" if task == "regression" else "observed share"
    rows = [row | {said: row["predicted"], came: row["observed"]} for row in table]
    band = ("low", "high")
    diagonal = task != "regression"
    spec = charts.line(rows, said, came, band=band, diagonal=diagonal, points=True)
    note = "Ten bins of about equally many rows. " + (
        "The band holds the middle 80% of what was observed."
        if task == "regression"
        else "The band is the 95% interval of each share; on the dashed line a probability means "
        "what it says."
    )
    test = document["calibration_test"]
    if test:
        note += (
            f" The calibration error is {test['ece']:.4g}; a perfect model of as many rows stays "
            f"below {test['by_chance']:.4g} in 95 of 100 tables (p = {test['p']:.3g})."
        )
    report.add_figure("Calibration", spec, note)


def _add_confusion(report: Report, document: dict[str, Any]) -> None:
    names, matrix = document["confusion"]["classes"], document["confusion"]["matrix"]
    if not names:
        return
    cells = [
        {"true": true, "predicted": predicted, "rows": count}
        for true, counts in zip(names, matrix, strict=True)
        for predicted, count in zip(names, counts, strict=True)
    ]
    spec = charts.heatmap(cells, "predicted", "true", "rows", text=",d")
    report.add_figure(
        "Confusion matrix", spec, "Rows of the test table by true and predicted class."
    )


def _subject(document: dict[str, Any]) -> str:
    lines = [
        f"Model {document['model_name']}, digest {document['digest'][:12]}, predicts "
        f"{document['label']} ({document['task']}).",
        f"- {document['rows']:,} test rows, read here for the first time.",
    ]
    if document["threshold"] is not None:
        positive, threshold = document["positive_class"], document["threshold"]
        lines.append(f"- Says {positive} from a probability of {threshold:.4g} on.")
    if document["ranking"]:
        lines.append(f"- {counted(document['ranking'])}")
    counts = document["class_counts"]
    if counts:
        lines.append("- Rows by class: " + ", ".join(f"{k} {n:,}" for k, n in counts.items()) + ".")
    return "\n".join(lines)
