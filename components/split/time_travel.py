"""Time: values that postdate the prediction, splits that run backwards, and labels that drift."""

import numpy as np

from shipway.components.lib.decision import Rule
from shipway.components.split.assignment import NAMES, TEST, TRAIN, VALIDATION
from shipway.components.split.judge import Judge
from shipway.components.split.subject import Subject, cure, passed
from shipway.components.split.times import day, moments, read_times

LATER_SHARE = 0.05
MIN_ROWS = 20
ORDERED_SHARE = 0.999
BLOCKS = 10
MIN_DRIFT, MIN_Z = 0.1, 5.0
STOP_SCORE = 0.95


def time_rules(subject: Subject, judge: Judge) -> list[Rule]:
    """All that time tells of a split."""
    if not subject.time_column:
        return _ordered_rows(subject)
    rules = [_order_of_splits(subject)] if subject.strategy == "time" else _ordered_rows(subject)
    return rules + _postdated(subject, judge)


def _order_of_splits(subject: Subject) -> Rule:
    times = read_times(subject.dataset, subject.time_column)
    return order_rule(times, subject.parts, subject.time_column)


def order_rule(times: np.ndarray, parts: np.ndarray, name: str) -> Rule:
    """Fail where a split holds a time that is not later than all of the split before it."""
    bounds = [(times[parts == part].min(), times[parts == part].max()) for part in range(3)]
    for earlier, later in ((TRAIN, VALIDATION), (VALIDATION, TEST)):
        if not bounds[later][0] > bounds[earlier][1]:
            count = int((times[parts == later] <= bounds[earlier][1]).sum())
            sentence = (
                f"{count:,} rows of {NAMES[later]} are not later than the last of {NAMES[earlier]} "
                f"by '{name}': the model would learn from its own future. Split by time again."
            )
            return Rule("time_order", "fail", sentence, float(count), "0", name, len(times))
    return passed("time_order", "Each split is later than the one before it.", len(times))


def _postdated(subject: Subject, judge: Judge) -> list[Rule]:
    now = moments(subject.time_column, subject.training.column(subject.time_column))
    if now is None:
        return []
    found = []
    for name in subject.features:
        if name == subject.time_column:
            continue
        values = moments(name, subject.training.column(name))
        if values is None:
            continue
        known = ~np.isnan(values) & ~np.isnan(now)
        later = (values > now) & known
        share = later.sum() / max(known.sum(), 1)
        if later.sum() < MIN_ROWS or share < LATER_SHARE:
            continue
        tells = judge.binned_value(values - now)
        verdict = "fail" if tells >= STOP_SCORE else "warn"
        known_by_then = "a date that was planned may stay" if verdict == "warn" else "look it up"
        sentence = (
            f"'{name}' is later than '{subject.time_column}' in {share:.0%} of {known.sum():,} "
            f"training rows, and the time between them predicts the label with {tells:.2f}: it was "
            f"not known when the row was to be predicted ({known_by_then}). {cure(name)}"
        )
        found.append(
            Rule("time_travel", verdict, sentence, float(share), f"< {LATER_SHARE:.0%}", name,
                 int(known.sum()))
        )  # fmt: skip
    return found or [
        passed("time_travel", f"No column postdates '{subject.time_column}'.", len(now))
    ]


def _ordered_rows(subject: Subject) -> list[Rule]:
    """A table in the order of time whose label drifts is split by time, or tested on its past."""
    for name in subject.features:
        values = moments(name, subject.training.column(name))
        if values is None or np.isnan(values).any() or len(values) < BLOCKS * MIN_ROWS:
            continue
        if (np.diff(values) >= 0).mean() < ORDERED_SHARE or values[0] == values[-1]:
            continue
        drift, z = _drift(subject)
        if drift < MIN_DRIFT or z < MIN_Z:
            continue
        sentence = (
            f"The rows stand in the order of '{name}' ({day(values[0])} to {day(values[-1])}) and "
            f"the label drifts along it by {drift:.2f} between tenths of the rows, yet they are "
            f"split by {subject.strategy}: the test is easier than the future. Use "
            f"split_strategy='time' with time_column='{name}'."
        )
        return [Rule("time_order", "warn", sentence, drift, f"< {MIN_DRIFT:g}", name, len(values))]
    return []


def _drift(subject: Subject) -> tuple[float, float]:
    """The range of the label's mean over blocks of rows (of a number: in standard deviations)."""
    outcomes = subject.outcomes(subject.training_rows)
    if subject.target.kind.numeric:
        outcomes = (outcomes - outcomes.mean()) / max(float(outcomes.std()), 1e-12)
    best = (0.0, 0.0)
    for column in outcomes.T:
        blocks = np.array_split(column, BLOCKS)
        means = np.array([block.mean() for block in blocks])
        spread = float(np.ptp(means))
        error = float(column.std()) * np.sqrt(2 / len(blocks[0]))
        best = max(best, (spread, spread / error if error else 0.0))
    return best
