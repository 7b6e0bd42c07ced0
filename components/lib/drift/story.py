"""What moved in a column, in one sentence: the direction, and the figures before and after."""

import math

import numpy as np

from shipway.components.lib.cells import number_text
from shipway.components.lib.drift.bins import (
    MISSING,
    OTHER,
    UNREADABLE,
    common_values,
    new_values_of,
    value_text,
)
from shipway.components.lib.drift.comparison import Comparison, Shift
from shipway.components.lib.drift.histograms import CategoryHistogram, NumberHistogram

OUTSIDE_SHARE = 0.05
MEAN_MOVED = 0.05
SPREAD_GREW = 1.1
MOST = 0.8


def story_of(comparison: Comparison, shift: Shift) -> str:
    """The largest change in a view."""
    place = comparison.base.views.index(shift.view)
    base, current = (one.histograms[place] for one in (comparison.base, comparison.current))
    before, after = (
        counts / max(1, counts.sum()) for counts in (shift.bins.base, shift.bins.current)
    )
    gains = _gains(before, after)
    largest = int(np.argmax(gains))
    name = shift.bins.names[largest]
    private = shift.view.column in comparison.private
    if shift.new_values:
        found = None if private else new_values_of(base, current)
        example = f", such as '{found.example}'" if found and found.example else ""
        return (
            f"values that the baseline has not{example}: {after[-1]:.1%} of the rows, where chance "
            f"would bring {before[-1]:.1%}"
        )
    if name == MISSING:
        return f"missing values: {before[largest]:.1%} before, {after[largest]:.1%} now"
    if name == UNREADABLE:
        return f"values that cannot be read: {before[largest]:.1%} before, {after[largest]:.1%} now"
    if isinstance(base, NumberHistogram) and isinstance(current, NumberHistogram):
        told = _number_story(shift, base, current, private)
        changes = np.abs(after - before)
        alone = changes[largest] >= MOST * changes.sum() / 2
        if told and (not alone or "all of the baseline" in told):
            return told
    if private:
        return (
            f"one of its values or ranges: {before[largest]:.1%} before, {after[largest]:.1%} now"
        )
    said = name if name.startswith(("above", "below")) else f"values {name}"
    if isinstance(base, CategoryHistogram) and isinstance(current, CategoryHistogram):
        top = common_values(base, current)
        is_new = largest < len(top) and top[largest] not in base.counts
        said = name if name == OTHER else f"'{name}'" + (", which is new" if is_new else "")
    elif shift.view.kind == "weekday":
        said = name
    return f"{said}: {before[largest]:.1%} before, {after[largest]:.1%} now"


def _gains(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What each bin adds to the divergence."""
    middle = (before + after) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(one > 0, one * np.log2(one / middle), 0.0) for one in (before, after)]
    return np.asarray(parts[0] + parts[1])


def _number_story(
    shift: Shift, base: NumberHistogram, current: NumberHistogram, private: bool
) -> str:
    if not current.values or not base.values or base.low is None or base.high is None:
        return ""
    view = shift.view
    for side, share, end in (
        ("above", current.counts[-1] / current.values, base.high),
        ("below", current.counts[0] / current.values, base.low),
    ):
        if share >= OUTSIDE_SHARE:
            limit = "" if private else f" ({value_text(view, end)})"
            return f"{share:.0%} of the values lie {side} all of the baseline{limit}"
    if view.kind in ("hour", "weekday"):
        return ""
    moved = (current.mean - base.mean) / base.deviation if base.deviation else 0.0
    ratio = current.deviation / base.deviation if base.deviation and current.deviation else 1.0
    if abs(moved) >= max(MEAN_MOVED, abs(math.log(ratio))):
        word = "higher" if moved > 0 else "lower"
        if private:
            return f"{word} by {abs(moved):.2f} standard deviations"
        ends = f"mean {value_text(view, base.mean)} before, {value_text(view, current.mean)} now"
        return f"{word}: {ends} ({moved:+.2f} standard deviations)"
    if not 1 / SPREAD_GREW <= ratio <= SPREAD_GREW:
        word = "wider" if ratio > 1 else "narrower"
        if private:
            return f"{word}: {ratio:.2f} times the standard deviation"
        ends = f"{number_text(base.deviation)} before, {number_text(current.deviation)} now"
        return f"{word}: standard deviation {ends}"
    return ""
