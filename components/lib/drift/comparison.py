"""Drift and skew: which columns of a table moved against a baseline, how far, and how surely.

A column moved when chance does not explain it (`chance.py`) and when it is far enough to
matter. Both are needed: of a million rows every trifle is sure, and of ten rows every noise is far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from shipway.components.lib.drift.bins import Bins, bins_of, new_values_of
from shipway.components.lib.drift.chance import (
    adjusted,
    chance_of,
    interval_of,
    new_value_chance,
)
from shipway.components.lib.drift.columns import View
from shipway.components.lib.drift.domain import Domain, told_apart
from shipway.components.lib.drift.features import domain_features
from shipway.components.lib.drift.histograms import CategoryHistogram, NumberHistogram
from shipway.components.lib.drift.measures import distance, divergence
from shipway.components.lib.drift.reference import Reference

# A normal column whose mean moves by a tenth of its standard deviation reaches 0.042; one that
# moves by a quarter, or loses one value in twenty, about 0.1. The usual bound of 0.2 on the
# stability index, a distance of 0.19, overlooks all of them.
NOTICED = 0.04
STOPPED = 0.1
MARGIN = 0.05
# A column that tells the tables apart by itself is left out of the model, or it would see no other.
APART = 0.9
LATER_SHARE = 0.95


@dataclass(frozen=True)
class Settings:
    """What counts as drift.

    Attributes:
        thresholds: Jensen-Shannon distance that stops, by column; 0.1 for the others.
        rate: the share of runs that may raise an alarm where nothing moved.
        margin: by which the area under the ROC curve must surely exceed 0.5 to stop.
        label: the column to predict; it tells of label drift, and is kept from the model.
        prediction: the column with predictions, likewise.
        seed: draws.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    rate: float = 0.01
    margin: float = MARGIN
    label: str = ""
    prediction: str = ""
    seed: int = 0

    def bound(self, column: str) -> float:
        """The distance at which a column stops."""
        return self.thresholds.get(column, STOPPED)


@dataclass(frozen=True)
class Shift:
    """How far one view of a column moved.

    Attributes:
        view: of the column.
        bins: shares before and after.
        new_values: whether this is about values that the baseline has not, of many.
        effect: Jensen-Shannon distance, less what chance adds to it.
        interval: 95 % bootstrap interval of the effect; None for new values.
        p_value: how often chance alone shows as much.
        adjusted: the same for all tests of the run together.
        provable: the least effect that so many rows can tell from chance.
        bound: the effect that stops.
        within: the largest effect between a quarter of the baseline and the rest of it.
    """

    view: View
    bins: Bins
    new_values: bool
    effect: float
    interval: tuple[float, float] | None
    p_value: float
    provable: float
    bound: float
    adjusted: float = 1.0
    within: float | None = None

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"{self.view.name} (new values)" if self.new_values else self.view.name


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        base: histograms of the baseline.
        current: histograms of the current table.
        shifts: one a view.
        domain: the multivariate test; None where there were too few rows.
        domain_adjusted: its p-value for all tests of the run together.
        later: date columns that go on after the end of the baseline, as between spans.
        missing: columns that the current table lacks.
        new: columns that the baseline lacks.
        private: columns whose values are not to be told.
    """

    base: Reference
    current: Reference
    shifts: list[Shift]
    domain: Domain | None
    domain_adjusted: float
    later: list[str]
    missing: list[str]
    new: list[str]
    private: frozenset[str] = frozenset()


def compare(
    base: Reference,
    current: Reference,
    samples: tuple[pa.Table, pa.Table] | None,
    settings: Settings,
) -> Comparison:
    """Hold a table against a baseline.

    Args:
        base: the baseline.
        current: counted by `base.counting`.
        samples: rows of both for the multivariate test; None leaves it out.
        settings: what counts as drift.
    """
    pairs = list(zip(base.views, base.histograms, current.histograms, strict=True))
    present = [pair for pair in pairs if pair[0].column in current.columns]
    later = [view.column for view, _, b in present if _goes_on(view, b)]
    judged = [pair for pair in present if not (pair[0].kind == "date" and pair[0].column in later)]
    rng = np.random.default_rng(settings.seed)
    level = settings.rate / (len(judged) + 1)
    shifts: list[Shift] = []
    if base.rows and current.rows:
        for view, a, b in judged:
            shifts += _shifts(view, a, b, settings, level, rng)
    shifts = _with_spread(base, shifts)
    domain = None
    if samples is not None:
        apart = {shift.view for shift in shifts if shift.effect >= APART}
        aside = (settings.label, settings.prediction)
        kept = [p for p in judged if p[0].column not in aside and p[0] not in apart]
        before, now = (domain_features(kept, sample) for sample in samples)
        domain = told_apart(before, now, [view.name for view, _, _ in kept], settings.seed)
    p_values = [shift.p_value for shift in shifts] + ([domain.p_value] if domain else [])
    together = adjusted(p_values)
    return Comparison(
        base,
        current,
        [replace(s, adjusted=p) for s, p in zip(shifts, together, strict=False)],
        domain,
        together[-1] if domain else 1.0,
        later,
        _but(base.columns, current.columns),
        _but(current.columns, base.columns),
    )


def _but(names: Sequence[str], others: Sequence[str]) -> list[str]:
    known = set(others)
    return [name for name in names if name not in known]


def _goes_on(view: View, current: NumberHistogram | CategoryHistogram) -> bool:
    """Whether nearly all dates lie after the baseline's: the clock of the rows, which moves on."""
    if view.kind != "date" or not isinstance(current, NumberHistogram) or not current.values:
        return False
    return len(current.edges) > 0 and current.counts[-1] >= LATER_SHARE * current.values


def _shifts(
    view: View,
    base: NumberHistogram | CategoryHistogram,
    current: NumberHistogram | CategoryHistogram,
    settings: Settings,
    level: float,
    rng: np.random.Generator,
) -> list[Shift]:
    bins = bins_of(view, base, current)
    bound = settings.bound(view.column)
    relevant = min(NOTICED, bound) ** 2
    chance = chance_of(bins.base, bins.current, level, relevant, rng)
    bits = float(divergence(bins.base, bins.current)) - chance.expected
    low, high = interval_of(bins.base, bins.current, chance.expected, rng)
    interval = distance(low), distance(high)
    provable = distance(chance.provable)
    found = [Shift(view, bins, False, distance(bits), interval, chance.p_value, provable, bound)]
    values = new_values_of(base, current)
    if values is not None:
        share = current.rows / (base.rows + current.rows)
        p_value, usual = new_value_chance(values.counts, share, values.rows, level, rng)
        told = values.bins(usual, base.rows, current.rows)
        effect = distance(float(divergence(told.base, told.current)))
        if values.rows <= usual:
            effect = 0.0
        found.append(Shift(view, told, True, effect, None, p_value, provable, bound))
    return found


def _with_spread(base: Reference, shifts: list[Shift]) -> list[Shift]:
    """Add how far the quarters of the baseline are apart: what its columns do by themselves."""
    if not base.quarters:
        return shifts
    spreads = {}
    for view, parts in zip(base.views, base.quarters, strict=True):
        spreads[view] = max(_apart(view, parts, index) for index in range(len(parts)))
    return [s if s.new_values else replace(s, within=spreads[s.view]) for s in shifts]


def _apart(view: View, parts: Sequence[NumberHistogram | CategoryHistogram], index: int) -> float:
    rest = parts[0].emptied()
    for other, part in enumerate(parts):
        if other != index:
            rest.merge(part)  # type: ignore[arg-type]
    if not rest.rows or not parts[index].rows:
        return 0.0
    bins = bins_of(view, rest, parts[index])
    # What chance adds, as to a chi-square statistic.
    chance = (len(bins.base) - 1) * (1 / rest.rows + 1 / parts[index].rows) / (8 * np.log(2))
    return distance(float(divergence(bins.base, bins.current)) - chance)
