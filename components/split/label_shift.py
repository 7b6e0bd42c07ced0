"""Labels that change all at once: at a moment, or with the source that they come from."""

import re

import numpy as np
import pyarrow.compute as pc

from shipway.components.lib.decision import Rule
from shipway.components.lib.private import PRIVATE
from shipway.components.split.subject import Subject, passed
from shipway.components.split.times import day, moments, read_times

MIN_ROWS = 200
BLOCKS = 40
SIDE = 4
MIN_Z = 6.0
MIN_STEP = 0.2
SUDDEN = 2.5
MAX_SOURCES = 200
_NAMES_A_SOURCE = re.compile(
    r"(^|[_\W])(source|batch|annotator|labell?er|labell?ed_by|rater|reviewer|site|vendor|provider|"
    r"feed|file|partner)($|[_\W])",
    re.IGNORECASE,
)


def shift_rules(subject: Subject) -> list[Rule]:
    """Sudden steps of the label by time and by source, in the sample of training rows."""
    found = [*_by_time(subject), *_by_source(subject)]
    return found or [
        passed("label_shift", "The label does not change all at once, by time or source.")
    ]


def _scaled(subject: Subject) -> np.ndarray:
    outcomes = subject.outcomes(subject.training_rows)
    if subject.target.kind.numeric:
        outcomes = (outcomes - outcomes.mean()) / max(float(outcomes.std()), 1e-12)
    return outcomes


def _time(subject: Subject) -> tuple[str, np.ndarray | None]:
    names = [subject.time_column] if subject.time_column else subject.features
    for name in names:
        values = moments(name, subject.training.column(name))
        if values is not None and not np.isnan(values).any() and np.ptp(values) > 0:
            return name, values
    if subject.time_column:  # numbers that are no moments but order the rows
        rows = subject.training_rows
        return subject.time_column, read_times(subject.dataset, subject.time_column)[rows]
    return "", None


def _by_time(subject: Subject) -> list[Rule]:
    name, times = _time(subject)
    if times is None or len(times) < MIN_ROWS:
        return []
    order = np.argsort(times, kind="stable")
    blocks = min(BLOCKS, len(order) // 25)
    for outcomes in _scaled(subject)[order].T:
        means = np.array([block.mean() for block in np.array_split(outcomes, blocks)])
        place, step, z, rest = _sharpest(means, float(outcomes.std()), len(order) / blocks)
        if abs(step) >= MIN_STEP and abs(z) >= MIN_Z and abs(step) >= SUDDEN * rest:
            when = day(times[order[int(place * len(order) / blocks)]])
            when = "a moment" if subject.hides(name) else when
            sentence = (
                f"The label's mean steps from {means[:place].mean():.3g} to "
                f"{means[place:].mean():.3g} at {when} by '{name}' ({abs(z):.0f} standard errors): "
                "the way of labelling may have changed then, or rows were planted. Ask what "
                "happened, and leave out what came before if it no longer holds."
            )
            if subject.target.kind.numeric:
                sentence = sentence.replace("label's mean", "label's mean (standardised)")
            return [Rule("label_shift", "warn", sentence, float(step), f"< {MIN_STEP:g}", name,
                         len(order))]  # fmt: skip
    return []


def _sharpest(means: np.ndarray, spread: float, rows: float) -> tuple[int, float, float, float]:
    """The sharpest step: its block, size and standard errors; and how the label moves elsewhere."""
    places = np.arange(SIDE, len(means) - SIDE + 1)
    if not len(places) or not spread:
        return 0, 0.0, 0.0, 0.0
    sums = np.concatenate([[0.0], np.cumsum(means)])
    steps = (sums[places + SIDE] - 2 * sums[places] + sums[places - SIDE]) / SIDE
    best = int(np.abs(steps).argmax())
    rest = np.abs(steps)[np.abs(places - places[best]) >= SIDE]
    error = spread * np.sqrt(2 / (SIDE * rows))
    usual = float(np.quantile(rest, 0.9)) if len(rest) else 0.0
    return int(places[best]), float(steps[best]), float(steps[best] / error), usual


def _by_source(subject: Subject) -> list[Rule]:
    rules = []
    for name in subject.features:
        if not _NAMES_A_SOURCE.search(name):
            continue
        encoded = pc.dictionary_encode(subject.training.column(name)).combine_chunks()
        sources = encoded.dictionary.to_pylist()
        if not 2 <= len(sources) <= MAX_SOURCES:
            continue
        codes = encoded.indices.fill_null(len(sources)).to_numpy(zero_copy_only=False)
        far = _farthest(codes, _scaled(subject), len(sources))
        if far is None:
            continue
        code, step, z, rows = far
        source = PRIVATE if subject.hides(name) else sources[code]
        sentence = (
            f"Rows from {name}='{source}' have a mean label that is {abs(step):.2f} "
            f"{'higher' if step > 0 else 'lower'} than that of all others ({abs(z):.0f} standard "
            f"errors, {rows:,} rows): ask how this source labels, or leave its rows out."
        )
        rules.append(Rule("label_shift", "warn", sentence, step, f"< {MIN_STEP:g}", name, rows))
    return rules


def _farthest(
    codes: np.ndarray, outcomes: np.ndarray, sources: int
) -> tuple[int, float, float, int] | None:
    """The source whose label lies farthest from that of the others, if beyond the bounds."""
    best = None
    for column in outcomes.T:
        for code in range(sources):
            mine = codes == code
            rows, others = int(mine.sum()), int((~mine).sum())
            if min(rows, others) < 30:
                continue
            step = float(column[mine].mean() - column[~mine].mean())
            z = step / max(float(column.std()) * np.sqrt(1 / rows + 1 / others), 1e-12)
            if abs(step) >= MIN_STEP and abs(z) >= MIN_Z and (not best or abs(step) > abs(best[1])):
                best = (code, step, z, rows)
    return best
