"""The Decision: one JSON document for every gate, from the data to the release.

A list of rules, each with what was measured, what was allowed and a sentence for a person. It is
fail-closed: a value that is missing or not finite fails its rule, and no rules at all are no pass.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.files import write_json_aside

VERDICTS = ("pass", "warn", "fail")
STRETCH = 3.29 / 1.96  # of the end of a 95 % interval to that of a 99.9 % one


@dataclass(frozen=True)
class Rule:
    """One rule of a gate and how it came out.

    Attributes:
        name: the rule, e.g. "auc" or "leakage.single_feature".
        verdict: "pass", "warn" (reported, does not stop) or "fail".
        sentence: what was found, what was expected and what to do, for a person.
        value: what was measured, or None when it could not be.
        bound: what was allowed, as text.
        slice: the part of the data that the rule looks at; empty for all of it.
        n: rows behind the value.
        interval: confidence interval of the value.
    """

    name: str
    verdict: str
    sentence: str
    value: float | str | None = None
    bound: str = ""
    slice: str = ""
    n: int | None = None
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse a verdict that nobody knows."""
        if self.verdict not in VERDICTS:
            raise ConfigurationError(
                f"Rule '{self.name}' has the verdict '{self.verdict}'; it is one of {VERDICTS}."
            )


def surely_better(gain: Mapping[str, float]) -> bool:
    """Whether a gain is above zero at 99.9 %.

    A 95 % interval alone would let one model of 40 pass that was trained on shuffled labels; its
    lower end stretched to that of a 99.9 % interval lets one of 2,000.

    Args:
        gain: its value, and as "low" the lower end of its 95 % interval.
    """
    return gain["value"] - STRETCH * (gain["value"] - gain["low"]) > 0


def bound_rule(
    name: str,
    value: float | None,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    sentence: str | None = None,
    slice: str = "",
    n: int | None = None,
    interval: tuple[float, float] | None = None,
) -> Rule:
    """A rule that holds a value between inclusive bounds; a missing or non-finite value fails."""
    bounds = [] if minimum is None else [f">= {minimum:g}"]
    bounds += [] if maximum is None else [f"<= {maximum:g}"]
    bound = " and ".join(bounds)
    where = f" on {slice}" if slice else ""
    if value is None or not math.isfinite(value):
        text = f"{name}{where} could not be measured; it must be {bound}."
        return Rule(name, "fail", text, None, bound, slice, n, interval)
    low = minimum is None or value >= minimum
    high = maximum is None or value <= maximum
    verdict = "pass" if low and high else "fail"
    said = "is" if verdict == "pass" else "is not"
    text = sentence or f"{name}{where} is {value:.4g}: it {said} {bound}."
    return Rule(name, verdict, text, float(value), bound, slice, n, interval)


@dataclass
class Decision:
    """What a gate decided about a subject, and by which rules."""

    gate: str
    subject: str
    rules: list[Rule] = field(default_factory=list)

    @property
    def failures(self) -> list[Rule]:
        """The rules that stop."""
        return [rule for rule in self.rules if rule.verdict == "fail"]

    @property
    def warnings(self) -> list[Rule]:
        """The rules that report and do not stop."""
        return [rule for rule in self.rules if rule.verdict == "warn"]

    @property
    def verdict(self) -> str:
        """ "pass" or "fail"; fail-closed."""
        return "pass" if self.rules and not self.failures else "fail"

    def save(self, path: Path) -> None:
        """Write the decision as JSON; a value that is not finite is written as null."""
        value = asdict(self) | {"verdict": self.verdict}
        for rule in value["rules"]:
            rule["value"] = _finite(rule["value"])
            rule["interval"] = rule["interval"] and [_finite(end) for end in rule["interval"]]
        write_json_aside(path, value)

    @classmethod
    def load(cls, path: Path) -> "Decision":
        """Read a decision.

        Raises:
            ConfigurationError: the file is missing or is not a decision.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
            rules = [
                Rule(**(rule | {"interval": rule["interval"] and tuple(rule["interval"])}))
                for rule in value["rules"]
            ]
            return cls(value["gate"], value["subject"], rules)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"'{path}' is not a decision file ({error}); run the gate that writes it again."
            ) from error


def _finite(value: float | str | None) -> float | str | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
