"""Sections of the evaluation's page beyond metrics and slices; each shows one part of its JSON."""

from typing import Any

from shipway.components.evaluate.fairness import MIN_ROWS, RATES
from shipway.components.lib import charts
from shipway.components.lib.reports import Report

SHOWN = 15


def add_regions(report: Report, document: dict[str, Any]) -> None:
    """Weak regions that were found and confirmed."""
    proposed, found = document["regions"]["proposed"], document["regions"]["found"]
    main = document["main_metric"]
    if not found:
        text = f"None of {proposed} proposed regions is worse than the rest beyond chance."
        report.add_text("Weak regions", text if proposed else "Too few rows to search for any.")
        return
    rows = [
        [
            part["slice"],
            part["n"],
            part["evidence"]["loss"],
            part["evidence"]["loss_elsewhere"],
            part["evidence"]["p_adjusted"],
            part["metrics"].get(main),
            part["gain"]["low"] > 0 if part.get("gain") else None,
        ]
        for part in found
    ]
    columns = ["Region", "Rows", "Loss", "Loss elsewhere", "p", main, "Better than a constant"]
    note = (
        f"A shallow tree proposed {proposed} regions on one half of the test rows; these were "
        "confirmed on the other half, whose rows are counted here. p is corrected for the number "
        "of regions (Holm). The loss of a row is its log loss, or its absolute error."
    )
    report.add_table("Weak regions", columns, rows, note)


def add_fairness(report: Report, document: dict[str, Any]) -> None:
    """The gaps between groups, for each protected column."""
    for found in document["fairness"]:
        uses = "takes this column" if found["used"] else "does not take this column"
        gaps = [
            [
                gap["group"],
                _spaced(gap["rate"]),
                gap["n"],
                *_ends(gap["difference"]),
                *_ends(gap.get("ratio")),
                "judged" if gap["judged"] else f"fewer than {MIN_ROWS} rows",
            ]
            for gap in found["gaps"]
        ]
        title = f"Fairness by {found['column']}"
        rates = "; ".join(f"{_spaced(name)}: {words.lower()}" for name, words in RATES.items())
        columns = ["Group", "Rate", "Rows", "Difference", "Low", "High"]
        columns += ["Ratio", "Low", "High", "Standing"]
        note = f"Each group against {found['reference']}, the largest. The model {uses}. {rates}."
        report.add_table(title, columns, gaps, note)


def add_group_rates(report: Report, document: dict[str, Any]) -> None:
    """The rates that the gaps are between."""
    for found in document["fairness"]:
        groups = [
            [group["group"], group["n"], _spaced(name), rate["value"], rate["low"], rate["high"]]
            for group in found["groups"]
            for name, rate in group["rates"].items()
        ]
        columns = ["Group", "Rows", "Rate", "Value", "Low", "High"]
        report.add_table(f"Rates by {found['column']}", columns, groups)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _ends(interval: dict[str, float] | None) -> list[float | None]:
    return [interval[end] if interval else None for end in ("value", "low", "high")]


def add_ranking(report: Report, document: dict[str, Any]) -> None:
    """Gain, lift and the threshold table of a binary model."""
    lift = document["lift"]
    if lift:
        points = [{"share of rows": 0.0, "share of positives": 0.0}]
        points += [{"share of rows": r["share"], "share of positives": r["gain"]} for r in lift]
        axes = ("share of rows", "share of positives")
        spec = charts.line(points, *axes, diagonal=True, points=True, description="Gain curve.")
        first = lift[0]
        note = (
            f"Of the tenth with the highest scores {first['rate']:.1%} are positive, "
            f"{first['lift']:.3g} times as many as of all rows. The dashed line is no order at all."
        )
        report.add_figure("Gain", spec, note)
        columns = ["Rows so far", "Rows", "Positive", "Low", "High", "Lift", "Positives so far"]
        cells = [
            [
                _percent(row["share"]),
                row["n"],
                *(_percent(row[key]) for key in ("rate", "low", "high")),
                row["lift"],
                _percent(row["gain"]),
            ]
            for row in lift
        ]
        note = "Tenths of the rows, those with the highest scores first. Lift: times the average."
        report.add_table("Lift", columns, cells, note)
    rows = [
        [
            row["threshold"],
            *(
                _percent(row.get(key))
                for key in (
                    *("picked", "precision", "precision_low", "precision_high", "recall"),
                    "fpr",
                )
            ),
            row["f1"],
            "chosen in training" if row["chosen"] else "",
        ]
        for row in document["thresholds"]
    ]
    if rows:
        columns = ["Threshold", "Picked", "Precision", "Low", "High", "Recall"]
        columns += ["False positives", "F1", "Note"]
        note = (
            "Picked: the share of rows that get the positive answer. False positives: that of the "
            "negative rows. Choose another threshold on validation rows, not by this table: it is "
            "the test's."
        )
        report.add_table("What each threshold brings", columns, rows, note)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"


def add_residuals(report: Report, document: dict[str, Any]) -> None:
    """The ranges of features where the model errs to one side."""
    found = document["residuals"]
    beyond = [view for view in found["by_feature"] if view["beyond_chance"]]
    if not found["by_feature"]:
        return
    rows = [
        [
            view["feature"],
            view["range"],
            view["n"],
            view["bias"],
            view["low"],
            view["high"],
            view["beyond_chance"],
        ]
        for view in found["by_feature"]
    ]
    note = (
        f"Truth minus prediction; positive where the model says too little. {len(beyond)} of "
        f"{found['looked_at']} ranges are biased beyond chance, counting how many were looked at."
    )
    columns = ["Feature", "Range", "Rows", "Bias", "Low", "High", "Beyond chance"]
    report.add_table("Where the model errs to one side", columns, rows, note)


def add_robustness(report: Report, document: dict[str, Any]) -> None:
    """What disturbances do to the main metric."""
    found = document["robustness"]
    if not found:
        return
    rows = [
        [one["column"], one["kind"], one["value"], one["drop"]] for one in found["disturbances"]
    ]
    note = (
        f"{found['metric']} is {found['value']:.4g} on {found['rows']:,} of the test rows; each "
        f"line changes one thing. The {SHOWN} that hurt most."
    )
    columns = ["Column", "What happens to it", found["metric"], "Worse by"]
    report.add_table("Robustness", columns, rows[:SHOWN], note)


def add_stability(report: Report, document: dict[str, Any]) -> None:
    """The main metric by period."""
    found = document["stability"]
    if not found:
        return
    metric = found["metric"]
    points = [
        {"from": part["from"][:19], metric: part["value"], "low": part["low"], "high": part["high"]}
        for part in found["periods"]
        if part["value"] is not None
    ]
    wear, note = found["wear"], "The band is the 95% interval of each period."
    if wear:
        word = "worse" if wear["low"] > 0 else "better" if wear["high"] < 0 else "no other"
        note += f" The later half is {word}{' beyond chance' if word != 'no other' else ''}: "
        note += f"worse by {wear['value']:.4g} ({wear['low']:.4g} to {wear['high']:.4g})."
    if points:
        spec = charts.line(points, "from", metric, band=("low", "high"), points=True)
        report.add_figure(f"Over time, by {found['column']}", spec, note)


def add_learning_curve(report: Report, document: dict[str, Any]) -> None:
    """Whether more data would help."""
    curve = document["learning_curve"]
    if not curve:
        return
    spec = charts.line(
        [
            {"rows learnt from": one["rows"], curve["metric"]: one["value"]}
            for one in curve["points"]
        ],
        "rows learnt from",
        curve["metric"],
        points=True,
        description="Learning curve.",
    )
    gain = curve["doubling"]
    said = {
        "more": "More rows of the same kind would probably help",
        "enough": "More rows of the same kind would hardly help",
        "unclear": "Whether more rows would help cannot be told from these",
    }[curve["says"]]
    note = (
        f"{said}: the last doubling of the {document['taught_by']} rows changed "
        f"{curve['metric']} by {gain['value']:.4g} ({gain['low']:.4g} to {gain['high']:.4g}; "
        "positive is better). Quick refits with the model's parameters, to be compared with each "
        "other only."
    )
    report.add_figure(f"{curve['metric']} by rows learnt from", spec, note)


def add_cost(report: Report, document: dict[str, Any]) -> None:
    """Size and speed."""
    found = document["cost"]
    names = {
        "bytes": "Bytes of the trees",
        "package_bytes": "Bytes of the package",
        "trees": "Trees",
        "features": "Features",
        "latency_ms_p50": "Single row, median ms",
        "latency_ms_p95": "Single row, 95th percentile ms",
    }
    rows = [[words, found[name]] for name, words in names.items()]
    note = "From a raw row to its answer, on one thread of this step, without server and network."
    report.add_table("Cost", ["What", "Value"], rows, note)
