"""The gate of a split: what leaks the label, and what is wrong with the labels.

What is chosen here is chosen on samples of training and validation rows. Labels of test rows are
looked at only to say that a column is the label, or its mean, in every row of the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.features import FeaturePlan
from shipway.components.split.balance import balance_rule
from shipway.components.split.columns_alone import plan_of, score_rules
from shipway.components.split.entities import entity_rules
from shipway.components.split.functions import function_rules
from shipway.components.split.judge import Judge
from shipway.components.split.label_noise import Noise, find_noise
from shipway.components.split.label_shift import shift_rules
from shipway.components.split.outliers import Outliers, find_outliers
from shipway.components.split.overlap import overlap_rules
from shipway.components.split.rows_again import repetition_rules
from shipway.components.split.subject import Subject
from shipway.components.split.target_encoding import encoding_rules
from shipway.components.split.time_travel import time_rules


@dataclass(frozen=True)
class Findings:
    """What the gate decided, and what the page shows beside it."""

    decision: Decision
    noise: Noise | None
    outliers: Outliers | None


def judge_split(subject: Subject, accepted: Sequence[str] = ()) -> Findings:
    """Judge a split.

    Args:
        subject: the table, as it was split.
        accepted: columns whose leak is reported and does not stop.
    """
    plan = plan_of(subject)
    leaks = _leaks(subject, plan)
    honest = _without(plan, {rule.slice for rule in leaks if rule.verdict == "fail"})
    noise, outliers = find_noise(subject, honest), find_outliers(subject, honest)
    quality = [*repetition_rules(subject), *([noise.rule] if noise else [])]
    quality += [*shift_rules(subject), *([outliers.rule] if outliers else [])]
    quality.append(balance_rule(subject))
    rules = [_accepted(rule) if rule.slice in accepted else rule for rule in [*leaks, *quality]]
    return Findings(Decision("leakage", subject.label, rules), noise, outliers)


def _without(plan: FeaturePlan | None, leaks: set[str]) -> FeaturePlan | None:
    """The features that remain: beside a leak, no label looks wrong."""
    columns = [column for column in plan.columns if column.name not in leaks] if plan else []
    return replace(plan, columns=columns) if plan and columns else None


def _leaks(subject: Subject, plan: FeaturePlan | None) -> list[Rule]:
    labels = [part.column(subject.label) for part in (subject.training, subject.held_out)]
    judge = Judge(subject.target, *labels)
    exact = [*function_rules(subject), *encoding_rules(subject)]
    # What is the label by definition also predicts it: told once.
    known = {rule.slice for rule in exact if rule.slice}
    scores = [rule for rule in score_rules(subject, judge, plan) if rule.slice not in known]
    stops = {rule.slice for rule in [*exact, *scores] if rule.verdict == "fail"}
    return [
        *overlap_rules(subject),
        *(rule for rule in entity_rules(subject) if not rule.slice or rule.slice not in stops),
        *exact,
        *scores,
        *time_rules(subject, judge),
    ]


def _accepted(rule: Rule) -> Rule:
    if rule.verdict != "fail":
        return rule
    sentence = f"{rule.sentence} It was accepted by accepted_leaks."
    return replace(rule, verdict="warn", sentence=sentence)
