"""The decision threshold of a binary model, by what its answers are for."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shipway.components.lib.errors import ConfigurationError, DataError

FORMS = "f1, cost=FP:FN (e.g. cost=1:5), precision>=P, recall>=R or share<=S"
_COST = re.compile(r"cost=([0-9.]+):([0-9.]+)")
_BOUND = re.compile(r"(precision>=|recall>=|share<=)([0-9.]+)")


@dataclass(frozen=True)
class Cuts:
    """What each possible threshold would do to some rows, from the highest to the lowest.

    Attributes:
        hits: positive rows at or above it, shape (m,).
        taken: rows at or above it, shape (m,).
        positives: positive rows in all.
        rows: rows in all.
    """

    hits: np.ndarray
    taken: np.ndarray
    positives: float
    rows: int


Gain = Callable[[Cuts], np.ndarray]


def rule_of(text: str) -> Gain:
    """The gain of each threshold under a rule; minus infinity where the rule forbids it.

    Args:
        text: "f1"; "cost=FP:FN", the costs of a wrong yes and a wrong no; "precision>=P" or
            "recall>=R", of the thresholds that keep it, the one with the best other; or "share<=S",
            the best precision and recall with at most that share of rows taken.

    Raises:
        ConfigurationError: the rule cannot be read.
    """
    if text == "f1":
        return lambda cuts: 2 * cuts.hits / np.maximum(cuts.taken + cuts.positives, 1)
    if cost := _COST.fullmatch(text.replace(" ", "")):
        wrong_yes, wrong_no = (_number(part, text, math.inf) for part in cost.groups())
        return lambda cuts: (
            -(wrong_yes * (cuts.taken - cuts.hits) + wrong_no * (cuts.positives - cuts.hits))
        )
    bound = _BOUND.fullmatch(text.replace(" ", ""))
    if not bound:
        raise ConfigurationError(f"threshold_rule='{text}' cannot be read: it is {FORMS}.")
    limit = _number(bound[2], text, 1.0)

    def gain(cuts: Cuts) -> np.ndarray:
        precision = cuts.hits / np.maximum(cuts.taken, 1)
        recall = cuts.hits / max(cuts.positives, 1.0)
        kept, wanted = {
            "precision>=": (precision >= limit, recall),
            "recall>=": (recall >= limit, precision),
            "share<=": (cuts.taken <= limit * cuts.rows, cuts.hits),
        }[bound[1]]
        return np.where(kept, wanted, -np.inf)

    return gain


def check_rule(text: str, task: str) -> None:
    """Refuse a rule for a model that has no threshold.

    Raises:
        ConfigurationError: it is so.
    """
    if task != "binary" and text != "f1":
        raise ConfigurationError(
            f"threshold_rule='{text}' is for a binary task; a {task} model has no threshold. "
            "Leave it out."
        )


def _number(text: str, rule: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= most:
        above = "" if math.isinf(most) else f" and at most {most:g}"
        raise ConfigurationError(f"threshold_rule='{rule}': {text} must be above 0{above}.")
    return value


def best_threshold(y: np.ndarray, probability: np.ndarray, rule: str = "f1") -> float:
    """The probability from which on the positive class is the answer.

    Thresholds lie half way between neighbouring scores, so that rounding decides nothing; of equal
    ones the nearest to 0.5 is taken.

    Args:
        y: 1 for the positive class, 0 else; shape (n,).
        probability: of the positive class, shape (n,).
        rule: what the answers are for; see `rule_of`.

    Raises:
        ConfigurationError: the rule cannot be read.
        DataError: no threshold keeps the rule on these rows.
    """
    order = np.argsort(-probability, kind="stable")
    scores, truth = probability[order], y[order]
    hits, taken = np.cumsum(truth), np.arange(1, len(y) + 1)
    last = np.append(scores[1:] != scores[:-1], True)  # of equal scores, only the last may cut
    # The first threshold is above all scores: it takes nobody.
    hits, taken = (np.append(0, counts[last]) for counts in (hits, taken))
    gain = rule_of(rule)(Cuts(hits, taken, float(truth.sum()), len(y)))
    scores = np.append(1.0, scores[last])
    if not np.isfinite(gain).any():
        raise DataError(
            f"No threshold keeps threshold_rule='{rule}' on the {len(y):,} validation rows. Ask "
            "for less, or bring columns that tell the classes apart."
        )
    below = np.append(scores[1:], 0.0)
    thresholds = (scores + below) / 2
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    chosen = thresholds[best[np.abs(thresholds[best] - 0.5).argmin()]]
    return float(np.clip(chosen, 1e-6, 1 - 1e-6))
