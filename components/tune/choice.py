"""The finalists: the best trials, trained on all rows beside the defaults; and which of them wins.

Of all that are within one standard error of the best, the smallest model is taken: the rule of
L. Breiman, J. Friedman, R. Olshen, C. Stone, "Classification and Regression Trees", 1984, section
3.4.3. The error is that of the paired difference on the same rows: what is hard for both cancels.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipway.components.lib.losses import mean, mean_error
from shipway.components.tune.trials import Arena, Cut, Limits, Result, evaluate

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
    return Difference(mean(difference, first.weights), mean_error(difference, first.weights))


def finals(
    arena: Arena,
    booster: Mapping[str, Any],
    entries: Sequence[tuple[str, dict[str, float]]],
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
            _log.info("%s on all rows: no time left", name)
            break
        found.append(Finalist(name, parameters, result))
        _log.info("%s on all rows: %.6g in %.1f s", name, result.loss, result.seconds)
    return found


def smallest_of_the_best(finalists: Sequence[Finalist]) -> Finalist:
    """The smallest of those within one standard error of the best."""
    best = min(finalists, key=lambda one: one.result.loss)

    def ties(one: Finalist) -> bool:
        behind = gain(best.result, one.result)
        return behind.value <= behind.error

    return min(filter(ties, finalists), key=lambda one: (one.result.leaves, one.result.loss))
