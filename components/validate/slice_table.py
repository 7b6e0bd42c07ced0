"""How slices differ from the whole table: one row for each slice."""

import math
from typing import Any

from shipway.components.lib.private import unnamed_value
from shipway.components.validate.facts import ColumnFacts, dataset_facts
from shipway.components.validate.profile import Profile

HEAD = ["Slice", "Rows", "% of all", "Missing cells %", "What differs most from the whole table"]
SHOWN, VISIBLE = 3, 0.1
NOTE = (
    "Differences: of numbers, between the means, in standard deviations of the whole table; of "
    "texts, the largest between the shares of a value; of gaps, between their shares."
)


def slice_rows(profile: Profile, facts: list[ColumnFacts]) -> list[list[Any]]:
    """One row for each slice that was measured, as `HEAD` names them.

    Args:
        profile: as measured.
        facts: of every column of the whole table.
    """
    rows: list[list[Any]] = []
    for dataset in profile.statistics.datasets[1:]:
        count = int(dataset.num_examples)
        here = dataset_facts(dataset, profile.casts, count)
        column = next((f.name for f in facts if dataset.name.startswith(f"{f.name}=")), "")
        by_private = any(f.private for f in facts if f.name == column)
        shown = unnamed_value(column, len(rows) + 1) if by_private else dataset.name
        cells = max(1, count * len(here))
        pairs = zip(here, facts, strict=True)
        found = sorted(
            (d for part, whole in pairs if whole.name != column for d in _differences(part, whole)),
            reverse=True,
        )
        said = "; ".join(text for size, text in found[:SHOWN] if size >= VISIBLE)
        rows.append([
            shown, count, round(100 * count / max(1, profile.rows), 2),
            round(100 * sum(f.missing for f in here) / cells, 2), said or "nothing much",
        ])  # fmt: skip
    return rows


def _differences(part: ColumnFacts, whole: ColumnFacts) -> list[tuple[float, str]]:
    """Sizes of what differs in a column, each with its words."""
    found = []
    gaps = part.missing_share - whole.missing_share
    if gaps:
        found.append((
            abs(gaps),
            f"{part.name}: missing in {part.missing_share:.0%} instead of "
            f"{whole.missing_share:.0%}",
        ))  # fmt: skip
    if whole.private:
        return found
    if part.mean is not None and whole.mean is not None and whole.deviation:
        size = (part.mean - whole.mean) / whole.deviation
        if math.isfinite(size):
            found.append((
                abs(size),
                f"{part.name}: mean {part.mean:,.4g} instead of {whole.mean:,.4g} ({size:+.1f} sd)",
            ))  # fmt: skip
    elif part.top and whole.top and part.present and whole.present:
        everywhere = {value: count / whole.present for value, count in whole.top}
        value, share = max(
            ((value, count / part.present) for value, count in part.top),
            key=lambda one: abs(one[1] - everywhere.get(one[0], 0.0)),
        )
        if value in everywhere:
            said = f"{part.name}: '{value[:24]}' in {share:.0%} instead of {everywhere[value]:.0%}"
            found.append((abs(share - everywhere[value]), said))
    return found
