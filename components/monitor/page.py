"""The page of drift: whether it moved, which columns, how far, and what to do."""

from pathlib import Path

import numpy as np
from markupsafe import Markup

from shipway.components.lib.cells import chip
from shipway.components.lib.charts import overlaid, spark_overlay
from shipway.components.lib.decision import Decision
from shipway.components.lib.drift.bins import KNOWN, MISSING, NEW, OTHER, UNREADABLE
from shipway.components.lib.drift.comparison import Comparison, Shift
from shipway.components.lib.drift.histograms import NumberHistogram
from shipway.components.lib.drift.measures import largest_gap, moved_mass, stability_index
from shipway.components.lib.drift.story import story_of
from shipway.components.lib.private import PRIVATE
from shipway.components.lib.reports import Report
from shipway.components.monitor.rules import p_text, verdict_of
from shipway.components.monitor.wording import advice_on, lead_of, method_of

MAX_CHARTS = 8
ORDER = {"fail": 0, "warn": 1, "pass": 2}


def write_page(path: Path, comparison: Comparison, decision: Decision, rate: float) -> None:
    """Write the page.

    Args:
        path: where to.
        comparison: what was measured.
        decision: what was decided.
        rate: the share of runs that may raise an alarm where nothing moved.
    """
    shifts = sorted(
        comparison.shifts, key=lambda s: (ORDER[verdict_of(s, rate)], -s.effect, s.adjusted)
    )
    moved = [shift for shift in shifts if verdict_of(shift, rate) != "pass"]
    report = Report(
        "Drift against the baseline", lead_of(comparison, decision, moved, rate), decision.verdict
    )
    report.add_text("What to do", advice_on(comparison, decision, moved, rate))
    _add_columns(report, comparison, shifts, rate)
    for shift in moved[:MAX_CHARTS]:
        _add_chart(report, comparison, shift)
    report.add_decision(decision)
    report.add_text("How this was judged", method_of(rate))
    report.save(path)


def _add_columns(report: Report, comparison: Comparison, shifts: list[Shift], rate: float) -> None:
    names = ["Verdict", "Column", "Before and now", "Distance", "Bound", "Interval"]
    names += ["Chance", "Within baseline", "PSI", "KS", "Wasserstein", "Told from"]
    rows = []
    for shift in shifts:
        ends = f"{shift.interval[0]:.3g} to {shift.interval[1]:.3g}" if shift.interval else None
        info = _information(comparison, shift)
        rows.append(
            [
                chip(verdict_of(shift, rate)),
                shift.name,
                _spark(shift),
                shift.effect,
                shift.bound,
                ends,
                p_text(shift.adjusted),
                shift.within,
                *info,
                shift.provable,
            ]
        )
    note = (
        "Distance: Jensen-Shannon, 0 equal to 1 nothing in common, less what chance adds, with "
        "its 95% interval. Chance: how often a run without drift would show as much in any "
        "column. Within baseline: the largest distance of a quarter of it from the rest. Told "
        "from: the least distance that so many rows can tell from chance. PSI, KS and Wasserstein "
        "(in standard deviations) are for information. Bars: baseline; line: now; the last bins "
        "hold missing and other values."
    )
    report.add_table("Every column", names, rows, note)


def _information(comparison: Comparison, shift: Shift) -> list[object]:
    index = stability_index(shift.bins.base, shift.bins.current)
    place = comparison.base.views.index(shift.view)
    base, current = comparison.base.histograms[place], comparison.current.histograms[place]
    if isinstance(base, NumberHistogram) and isinstance(current, NumberHistogram):
        return [index, largest_gap(base, current), moved_mass(base, current)]
    return [index, None, None]


def _spark(shift: Shift) -> Markup:
    before, after = _shares(shift)
    label = f"Shares of {shift.name} before and now"
    return spark_overlay(before.tolist(), after.tolist(), label)


def _shares(shift: Shift) -> tuple[np.ndarray, np.ndarray]:
    bins = shift.bins
    return bins.base / max(1, bins.base.sum()), bins.current / max(1, bins.current.sum())


def _bin_names(comparison: Comparison, shift: Shift) -> list[str]:
    """Names of the bins; numbers for those that would tell values of a private column."""
    names = shift.bins.names
    if shift.view.column not in comparison.private:
        return names
    plain = (MISSING, UNREADABLE, OTHER, NEW, KNOWN)
    return [
        name if name in plain else f"{PRIVATE} ({number})" for number, name in enumerate(names, 1)
    ]


def _add_chart(report: Report, comparison: Comparison, shift: Shift) -> None:
    """The bins of a column that moved."""
    before, after = _shares(shift)
    shown = list(zip(_bin_names(comparison, shift), before, after, strict=True))
    bars = [
        {"bin": name, "share": share, "table": table}
        for table, place in (("baseline", 1), ("now", 2))
        for name, share in ((row[0], float(row[place])) for row in shown)
    ]
    told = f"{shift.name}: {story_of(comparison, shift)}."
    report.add_figure(shift.name, overlaid(bars, "bin", "share", "table", description=told), told)
