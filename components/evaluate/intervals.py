"""Whether the intervals of a regression hold as many rows as they promise, and where not."""

from typing import Any

import numpy as np

from shipway.components.lib.cells import number_text
from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.measures import equal_mass_bins
from shipway.components.lib.proportions import Share, share
from shipway.components.lib.reports import Report

BINS = 5
MIN_ROWS = 100


def interval_view(held: HeldOut) -> dict[str, Any]:
    """Coverage against what was promised: of all rows, and by fifth of the prediction.

    Coverage over all rows can be right while it is too low where values are large and too high
    where they are small.

    Returns:
        A JSON object: promised, coverage (with its interval), says ("holds", "too narrow" or "too
        wide"), width, spread (of the same share of the labels: the interval that looks at no
        column), parts (from, to, n, coverage with its ends, width); empty without intervals.
    """
    said, interval = held.prediction.values, held.prediction.interval
    if interval is None or said is None or not np.isfinite(interval).all():
        return {}
    promised = held.prediction.coverage
    inside = (interval[:, 0] <= held.y) & (held.y <= interval[:, 1])
    wide = interval[:, 1] - interval[:, 0]
    tail = (1 - promised) / 2
    ends = np.quantile(held.y, [tail, 1 - tail])
    whole = share(int(inside.sum()), len(inside))
    parts = []
    bins = equal_mass_bins(said, BINS) if len(said) >= MIN_ROWS else np.zeros(0)
    for number in np.unique(bins):
        rows = bins == number
        found = share(int(inside[rows].sum()), int(rows.sum()))
        parts.append(
            {"from": float(said[rows].min()), "to": float(said[rows].max()), "n": found.n}
            | {"coverage": found.value, "low": found.low, "high": found.high}
            | {"width": float(wide[rows].mean()), "says": _says(found, promised)}
        )
    return {
        "promised": promised,
        "coverage": {"value": whole.value, "low": whole.low, "high": whole.high},
        "says": _says(whole, promised),
        "width": float(wide.mean()),
        "spread": float(ends[1] - ends[0]),
        "parts": parts,
    }


def _says(found: Share, promised: float) -> str:
    if found.high < promised:
        return "too narrow"
    return "too wide" if found.low > promised else "holds"


def add_intervals(report: Report, document: dict[str, Any]) -> None:
    """The section of the page."""
    found = document.get("intervals")
    if not found:
        return
    rows = [
        [part[key] for key in ("from", "to", "n", "coverage", "low", "high", "width", "says")]
        for part in found["parts"]
    ]
    ends = found["coverage"]
    words = {
        "holds": "that is no different from the promise beyond chance",
        "too narrow": "fewer than promised beyond chance: rows like these are less certain than "
        "the validation rows were. Train on data like them",
        "too wide": "more than promised beyond chance: the intervals could be narrower",
    }[found["says"]]
    note = (
        f"The intervals promise to hold {found['promised']:.0%} of the rows. They hold "
        f"{ends['value']:.1%} ({ends['low']:.1%} to {ends['high']:.1%}), {words}. They are "
        f"{number_text(found['width'])} wide; one that looks at no column would be "
        f"{number_text(found['spread'])}."
    )
    columns = ["Predicted from", "To", "Rows", "Coverage", "Low", "High", "Width", "Standing"]
    report.add_table("Do the intervals hold?", columns, rows, note)
