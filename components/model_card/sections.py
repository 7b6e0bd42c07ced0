"""The sections of a card, once for the page and for Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shipway.components.lib.metrics import METRIC_NAMES
from shipway.components.model_card.owner import FIELDS

NOT_STATED = "not stated"
CONTROLS = "Controls"
VERDICT = "Verdict"


@dataclass(frozen=True)
class Section:
    """Lines of a list, or a table."""

    heading: str
    lines: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    note: str = ""


def sections_of(card: Mapping[str, Any]) -> list[Section]:
    """The sections, in the order in which a reader needs them."""
    return [
        _gates(card),
        Section("Known limits", card["limits"] or ["The evaluation showed none."]),
        _owner(card),
        _metrics(card),
        *_groups(card),
        Section("What moves its answers", card["explanation"]["summary"]),
        _model(card),
        _data(card),
        _controls(card),
    ]


def _gates(card: Mapping[str, Any]) -> Section:
    rows = []
    for decided in card["gates"].values():
        said = decided["failures"] or decided["warnings"] or ["every rule holds"]
        more = f" (and {len(said) - 3} more)" if len(said) > 3 else ""
        reasons = " ".join(said[:3]) + more
        rows.append([decided["gate"], decided["verdict"], decided["rules"], reasons])
    return Section("May it ship?", columns=["Gate", VERDICT, "Rules", "Why"], rows=rows)


def _owner(card: Mapping[str, Any]) -> Section:
    told = card["owner"]
    rows = [[words, "; ".join(told.get(name, [NOT_STATED]))] for name, words in FIELDS.items()]
    note = "By the owner's file; nothing here is measured."
    return Section("Use", columns=["What", "Stated"], rows=rows, note=note)


def _metrics(card: Mapping[str, Any]) -> Section:
    found = card["evaluation"]
    # JSON was sorted: the simplest baseline first, as on the evaluation's page.
    order = ("constant", "one_rule", "linear")
    baselines = {name: found["baselines"][name] for name in order if name in found["baselines"]}
    rows = [
        [name, metric["value"], metric["low"], metric["high"]]
        + [values.get(name) for values in baselines.values()]
        for name in METRIC_NAMES[card["model"]["task"]]
        if (metric := found["metrics"].get(name))
    ]
    columns = ["Metric", "Value", "Low", "High"]
    columns += [name.replace("_", " ").capitalize() for name in baselines]
    note = f"On {found['rows']:,} test rows, read once, with {found['level']:.0%} intervals."
    return Section("Performance", columns=columns, rows=rows, note=note)


def _groups(card: Mapping[str, Any]) -> list[Section]:
    found, main = card["evaluation"], card["evaluation"]["main_metric"]
    rows = []
    for part in [*found["slices"], *found["regions"]["found"]]:
        low, high = part.get("interval") or (None, None)
        rows.append([part["slice"], part["n"], part["metrics"].get(main), low, high])
    sections = []
    if rows:
        columns = ["Slice", "Rows", main, "Low", "High"]
        sections.append(Section("Performance by slice", columns=columns, rows=rows))
    gaps = [
        [each["column"], gap["group"], gap["rate"].replace("_", " "), gap["n"]]
        + [gap["difference"][end] for end in ("value", "low", "high")]
        for each in found["fairness"]
        for gap in each["gaps"]
        if gap["judged"]
    ]
    if gaps:
        columns = ["Column", "Group", "Rate", "Rows", "Difference", "Low", "High"]
        note = "Against the largest group of the column."
        sections.append(Section("Fairness", columns=columns, rows=gaps, note=note))
    return sections


def _model(card: Mapping[str, Any]) -> Section:
    model, cost = card["model"], card["evaluation"]["cost"]
    facts = {
        "Digest": model["digest"],
        "Predicts": f"{model['label']} ({model['task']})",
        "Orders rows of one": (card["evaluation"].get("ranking") or {}).get("query_column"),
        "Classes": ", ".join(map(str, model["classes"])),
        "Positive from": model["threshold"],
        "Calibration": model["calibration"],
        "Columns it takes": ", ".join(model["inputs"]),
        "Columns it does not use": ", ".join(
            name for name in model["unused"] if name != model["label"]
        ),
        "Trees": cost["trees"],
        "Bytes": cost["bytes"],
        "Single row, median ms": cost["latency_ms_p50"],
        "Parameters": ", ".join(f"{k} {v}" for k, v in sorted(model["parameters"].items())),
        "Seed": model["seed"],
        "Made": model["created"],
        "Code": model["code_version"],
        "Image": model["image"],
        "Libraries": ", ".join(f"{k} {v}" for k, v in sorted(model["libraries"].items())),
    }
    rows = [[words, value] for words, value in facts.items() if value not in (None, "")]
    return Section("Model", columns=["What", "Value"], rows=rows)


def _data(card: Mapping[str, Any]) -> Section:
    data = dict(card["data"])
    facts = {**data.pop("dataset"), **data, "test_rows": card["evaluation"]["rows"]}
    rows = [[_capital(name), value] for name, value in sorted(facts.items())]
    return Section("Data", columns=["What", "Value"], rows=rows)


def _capital(name: str) -> str:
    words = name.replace("_", " ").replace("sha256", "SHA-256").replace("uri", "address")
    return words[0].upper() + words[1:]


def _controls(card: Mapping[str, Any]) -> Section:
    rows = [
        [row["framework"], row["control"], row["words"], row["evidence"], row["lacking"]]
        for row in card["controls"]
    ]
    shown = sum(row["evidence"] != "not evidenced" for row in card["controls"])
    note = (
        f"{shown} of {len(rows)} controls are spoken for by artifacts of this run (with the first "
        "digits of their SHA-256) or by the owner's file. Evidence is no proof of conformity."
    )
    columns = ["Framework", "Control", "In our words", "Evidence", "Lacking"]
    return Section(CONTROLS, columns=columns, rows=rows, note=note)
