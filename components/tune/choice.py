"""The finalists: the best trials, trained on all rows beside the defaults; and which of them wins.

Of all that are within one standard error of the best, the smallest model is taken: the rule of
L. Breiman, J. Friedman, R. Olshen, C. Stone, "Classification and Regression Trees", 1984, section
3.4.3. The error is that of the paired difference on the same rows: what is hard for both cancels.
Rows of one stretch of time or of one group count as one, since they favour one model together.

The defaults stand where they are not surely beaten. The best of many trials is flattered by the
rows that chose it, and they are not: what no error tells apart is not worth leaving them for.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipway.components.lib.losses import mean, mean_error
from shipway.components.tune.trials import Arena, Cut, Limits, Result, evaluate

SURE, SURE_IN_TIME = 1.0, 2.0  # standard errors, by which the defaults are beaten
Entry = tuple[str, dict[str, float]]  # name, and parameters over the defaults
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finalist:
    """A candidate on all rows.

    Attributes:
        name: "defaults", or "trial 7".
        parameters: over the defaults; empty for them.
        result: what came of it.
    """

    name: str
    parameters: dict[str, float]
    result: Result


@dataclass(frozen=True)
class Difference:
    """How much less one model loses than another on the same rows.

    Attributes:
        value: mean difference of the losses, positive where the first is better.
        error: its standard error.
    """

    value: float
    error: float


def gain(first: Result, second: Result) -> Difference:
    """How much less the first loses than the second."""
    difference = second.losses - first.losses
    error = mean_error(difference, first.weights, first.related)
    return Difference(mean(difference, first.weights), error)


def finals(
    arena: Arena,
    booster: Mapping[str, Any],
    entries: Sequence[Entry],
    limits: Limits,
) -> list[Finalist]:
    """Train candidates on all rows, in order, while there is time."""
    found: list[Finalist] = []
    for name, parameters in entries:
        if time.monotonic() > limits.deadline or limits.stop.is_set():
            break
        try:
            result = evaluate(arena, {**booster, **parameters}, limits)
        except Cut:
            _log.info("%s: no time left", name)
            break
        found.append(Finalist(name, parameters, result))
        _log.info("%s: %.6g in %.1f s", name, result.loss, result.seconds)
    return found


def smallest_of_the_best(finalists: Sequence[Finalist], in_time: bool = False) -> Finalist:
    """The defaults, if the best does not surely beat them; or else the smallest of the best.

    Surely is by more than one standard error, in time by two: what comes next differs from what was
    by more than rows of one stretch of time show. The smallest is that of those within one standard
    error of the best that surely beat the defaults, too: what tuning bought is not given away.

    Args:
        finalists: of whom one is taken.
        in_time: whether they were judged in the order of time.
    """
    best = min(finalists, key=lambda one: one.result.loss)
    defaults = next((one for one in finalists if not one.parameters), None)
    sure = SURE_IN_TIME if in_time else SURE

    def better(first: Finalist, second: Finalist, errors: float) -> bool:
        ahead = gain(first.result, second.result)
        return ahead.value > errors * ahead.error

    if defaults is not None and not better(best, defaults, sure):
        return defaults
    tied = [
        one
        for one in finalists
        if one is best
        or (not better(best, one, SURE) and (defaults is None or better(one, defaults, sure)))
    ]
    return min(tied, key=lambda one: (one.result.leaves, one.result.loss))
