"""The finalists: the best trials, trained on all rows beside the defaults; and which of them wins.

Of all that are within one standard error of the best, the smallest model is taken: the rule of
L. Breiman, J. Friedman, R. Olshen, C. Stone, "Classification and Regression Trees", 1984, section
3.4.3. The error is that of the paired difference on the same rows: what is hard for both cancels.
Rows of one stretch of time or of one group count as one, since they favour one model together.

The defaults stand where they are within that error. The best of many trials is flattered by the
rows that chose it, and they are not: what no error tells apart is not worth leaving them for.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shipway.components.lib.losses import mean, mean_error
from shipway.components.tune.trials import Arena, Cut, Limits, Result, evaluate

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
    arenas: Iterable[Arena],
    booster: Mapping[str, Any],
    entries: Sequence[Entry],
    limits: Limits,
) -> list[Finalist]:
    """Train candidates on all rows, in order, while there is time.

    What time is left then goes into more evidence: candidates are judged by the next arena, too,
    if all of them can be.
    """
    found: list[Finalist] = []
    for arena in arenas:
        judged = _judged(arena, booster, entries, limits)
        if not found and judged:
            found, entries = judged, [(one.name, one.parameters) for one in judged]
        elif found and len(judged) == len(found):
            found = [
                replace(one, result=one.result.judged_also_by(more.result))
                for one, more in zip(found, judged, strict=True)
            ]
        else:
            break
    return found


def _judged(
    arena: Arena, booster: Mapping[str, Any], entries: Sequence[Entry], limits: Limits
) -> list[Finalist]:
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


def smallest_of_the_best(finalists: Sequence[Finalist]) -> Finalist:
    """The defaults, if within one standard error of the best; or else the smallest within it.

    Of the smaller ones only those are taken that beat the defaults as surely as the best does: no
    more than what tuning bought is given away for size.
    """
    best = min(finalists, key=lambda one: one.result.loss)
    defaults = next((one for one in finalists if not one.parameters), None)

    def better(first: Finalist, second: Finalist) -> bool:
        ahead = gain(first.result, second.result)
        return ahead.value > ahead.error

    if defaults is not None and not better(best, defaults):
        return defaults
    tied = [
        one
        for one in finalists
        if not better(best, one) and (defaults is None or better(one, defaults))
    ]
    return min(tied, key=lambda one: (one.result.leaves, one.result.loss))
