"""The rules of a rules file, judged; and the word of a person who overrides one."""

from collections.abc import Sequence
from dataclasses import replace

from shipway.components.bless.evidence import Evidence, Measured
from shipway.components.bless.gates import Gate, Override
from shipway.components.lib.decision import Rule, bound_rule
from shipway.components.lib.errors import ConfigurationError, nearest

FIXED = ("evaluation",)


def gate_rules(gates: Sequence[Gate], evidence: Evidence) -> list[Rule]:
    """One rule for each figure that was asked for; what cannot be measured fails."""
    return [_judged(gate, found) for gate in gates for found in evidence.look_up(gate)]


def _judged(gate: Gate, found: Measured) -> Rule:
    ends = None if found.low is None or found.high is None else (found.low, found.high)
    figure = getattr(found, gate.end)
    rule = bound_rule(
        gate.name, figure, minimum=gate.at_least, maximum=gate.at_most, slice=found.slice,
        n=found.n, interval=ends,
    )  # fmt: skip
    told = f"{gate.name} is held against {rule.bound}"
    if found.lack:
        text = f"{told}, but could not be measured: {found.lack}."
    elif figure is None:
        what = "value" if found.value is None else "interval"
        text = f"{told}, but it has no {what} on these rows. Bring more test rows."
    else:
        text = rule.sentence
        if gate.end != "value":
            text = text.replace(gate.name, f"The {gate.end} end of {gate.name}", 1)
        if gate.slice:  # the name of the rule tells it, and the slice that was found besides
            text = text.replace(f" on {gate.slice}", "", 1)
        if rule.verdict == "fail":
            text += " Train a better model, or change the rule in gates_uri."
    verdict = "warn" if rule.verdict == "fail" and gate.severity == "warn" else rule.verdict
    return replace(rule, verdict=verdict, sentence=text)


def overridden(rules: Sequence[Rule], overrides: Sequence[Override]) -> list[Rule]:
    """Rules with the failing ones that a person overrides turned into warnings that say so.

    Raises:
        ConfigurationError: an override names a rule that is not there, or one that always holds.
    """
    by_rule = {each.rule: each for each in overrides}
    names = {rule.name for rule in rules}
    for name in by_rule:
        if name in FIXED:
            raise ConfigurationError(
                f"gates_uri overrides '{name}', which cannot be overridden: the figures would be "
                "of another model or table."
            )
        if name not in names:
            raise ConfigurationError(
                f"gates_uri overrides '{name}', which is no rule of this gate."
                f"{nearest(name, names)} It has: {', '.join(sorted(names))}."
            )
    return [_excused(rule, by_rule.get(rule.name)) for rule in rules]


def _excused(rule: Rule, override: Override | None) -> Rule:
    if override is None or rule.verdict != "fail":
        return rule
    text = f"Overridden by {override.by}: {override.reason} What failed: {rule.sentence}"
    return replace(rule, verdict="warn", sentence=text)
