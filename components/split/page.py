"""The page of a split: the verdict, what to do, the findings, then sizes, classes and times."""

import datetime
from pathlib import Path

import numpy as np

from shipway.components.lib.decision import Rule
from shipway.components.lib.kinds import is_number
from shipway.components.lib.private import PRIVATE
from shipway.components.lib.reports import Report
from shipway.components.split.assignment import NAMES
from shipway.components.split.leakage import Findings
from shipway.components.split.subject import Subject
from shipway.components.split.times import read_times

MOST_TOLD = 8


def write_page(path: Path, subject: Subject, found: Findings) -> None:
    """Write the page.

    Args:
        path: where to.
        subject: the table, as it was split.
        found: what the gate decided, and its evidence.
    """
    decision = found.decision
    reasons = [rule.sentence for rule in decision.failures[:MOST_TOLD]]
    title = f"Split and leakage of '{subject.label}'"
    report = Report(title, _lead(subject, found), decision.verdict, reasons)
    if decision.warnings:
        report.add_text("Worth a look", _listed(decision.warnings))
    report.add_decision(decision)
    _add_sizes(report, subject)
    _add_quality(report, found)
    report.save(path)


def _lead(subject: Subject, found: Findings) -> str:
    stops, warnings = found.decision.failures, found.decision.warnings
    if stops:
        named = ", ".join(f"'{one.slice}'" if one.slice else one.name for one in stops[:5])
        them = "finding stops" if len(stops) == 1 else "findings stop"
        return f"{len(stops)} {them} the run: {named}."
    clean = f"{subject.rows:,} rows were split ({subject.strategy}). No column gives the label away"
    if warnings:
        them = "finding is" if len(warnings) == 1 else "findings are"
        return f"{clean}; {len(warnings)} {them} worth a look."
    return f"{clean}."


def _listed(rules: list[Rule]) -> str:
    """What each rule says, as lines of a list."""
    lines = [f"- {rule.sentence}" for rule in rules]
    more = len(lines) - MOST_TOLD
    hidden = [f"- {more} more are in the table below."] if more > 0 else []
    return "\n".join([*lines[:MOST_TOLD], *hidden])


def _add_sizes(report: Report, subject: Subject) -> None:
    sizes = np.bincount(subject.parts, minlength=len(NAMES))
    rows = zip(NAMES, sizes.tolist(), sizes / subject.rows, strict=True)
    report.add_table(
        "Sizes", ["Split", "Rows", "Share"], [[name, size, f"{s:.1%}"] for name, size, s in rows]
    )
    if subject.strategy == "time":
        report.add_table("Times", ["Split", "First", "Last"], _periods(subject))
    if subject.target.kind.numeric:
        report.add_table("The label", ["Split", "Mean", "Minimum", "Maximum"], _values(subject))
    else:
        report.add_table(
            "Share of each class",
            ["Class", *(name.capitalize() for name in NAMES)],
            _shares(subject, sizes),
        )


def _periods(subject: Subject) -> list[list[object]]:
    """First and last time of each split, as written where it is a number."""
    if subject.hides(subject.time_column):
        return [[name, PRIVATE, PRIVATE] for name in NAMES]
    times = read_times(subject.dataset, subject.time_column)
    plain = is_number(subject.training.schema.field(subject.time_column).type)
    return [
        [name, *(_moment(one, plain) for one in (times[rows].min(), times[rows].max()))]
        for name, rows in ((name, subject.parts == part) for part, name in enumerate(NAMES))
    ]


def _moment(value: float, plain: bool) -> str:
    if plain:
        return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=float(value))
    return moment.isoformat(" ", "seconds")


def _shares(subject: Subject, sizes: np.ndarray) -> list[list[object]]:
    classes = subject.target.classes
    counts = [
        np.bincount(subject.y[subject.parts == part], minlength=len(classes))
        for part in range(len(NAMES))
    ]
    return [
        [str(value), *(f"{counts[p][code] / max(sizes[p], 1):.2%}" for p in range(len(NAMES)))]
        for code, value in enumerate(classes)
    ]


def _values(subject: Subject) -> list[list[object]]:
    rows = []
    for part, name in enumerate(NAMES):
        y = subject.y[subject.parts == part]
        rows.append([name, float(y.mean(dtype=np.float64)), float(y.min()), float(y.max())])
    return rows


def _add_quality(report: Report, found: Findings) -> None:
    """The evidence behind the screens of the labels and of odd rows, where they found any."""
    noise, odd = found.noise, found.outliers
    if noise and noise.rule.verdict != "pass":
        report.add_table(
            "Suspected labels, by class", ["Given", "Likely", "Rows", "Of the given"], noise.pairs,
            "Counted by confident learning over out-of-fold predictions of training rows.",
        )  # fmt: skip
        report.add_table(
            "The surest suspects", ["Row", "Given", "Likely", "Confidence"], noise.suspects,
            "Rows are counted from 0 in the order of the dataset.",
        )  # fmt: skip
    if odd and odd.rows:
        report.add_table("What makes rows odd", ["Feature", "Rows"], odd.columns)
        report.add_table(
            "The oddest rows", ["Row", "Score", "Feature", "How far"], odd.rows,
            "By an isolation forest over training rows; rows are counted from 0.",
        )  # fmt: skip
