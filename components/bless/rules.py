"""The absolute rules of the model gate: what an evaluation must show by itself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shipway.components.lib.decision import Rule, bound_rule, surely_better
from shipway.components.lib.errors import nearest
from shipway.components.lib.metrics import METRIC_NAMES
from shipway.components.lib.task import TASKS

MIN_ROWS = 30
MIN_CLASS_ROWS = 5
MIN_SLICE_ROWS = 50
LINEAR_SHARE = 0.05
LINEAR_MEASURES = {"rmse": ("r2", "mae")}  # where not the main metric


def identity_rule(evaluation: Mapping[str, Any], digest: str, rows: int) -> Rule:
    """Whether the evaluation is of this very model and these very rows.

    Args:
        evaluation: the JSON document of the evaluation.
        digest: of the model to bless.
        rows: of the test table to bless it on.
    """
    name, cure = "evaluation", "Evaluate this model on this test table, then bless it."
    told = str(evaluation.get("digest", ""))
    if told != digest:
        text = f"The evaluation is of model {told[:12] or '(none)'}, not of {digest[:12]}. {cure}"
        return Rule(name, "fail", text, told[:12], f"= {digest[:12]}")
    if evaluation.get("rows") != rows:
        text = (
            f"The evaluation saw {evaluation.get('rows')} rows; the test table has {rows}. {cure}"
        )
        return Rule(name, "fail", text, None, f"= {rows} rows", n=rows)
    text = f"The evaluation is of this model ({digest[:12]}) and of these {rows:,} test rows."
    return Rule(name, "pass", text, digest[:12], n=rows)


def bound_rules(
    evaluation: Mapping[str, Any], minimum: Mapping[str, float], maximum: Mapping[str, float]
) -> list[Rule]:
    """One rule for each bound that was asked for; bounds are inclusive.

    A metric that the task does not have, that could not be measured or that is not a number fails.

    Args:
        evaluation: the JSON document of the evaluation.
        minimum: lower bounds by metric.
        maximum: upper bounds by metric.
    """
    rules = [_bound_rule(evaluation, name, low, None) for name, low in minimum.items()]
    return rules + [_bound_rule(evaluation, name, None, high) for name, high in maximum.items()]


def _bound_rule(
    evaluation: Mapping[str, Any], name: str, low: float | None, high: float | None
) -> Rule:
    task = str(evaluation["task"])
    parameter = "minimum_metrics" if high is None else "maximum_metrics"
    known = METRIC_NAMES[task]
    if name not in known:
        text = f"{parameter} names '{name}', which no {task} model has.{nearest(name, known)}"
        return Rule(name, "fail", f"{text} It may name: {', '.join(known)}.")
    metric = evaluation["metrics"].get(name, {})
    ends = (metric.get("low"), metric.get("high"))
    interval = None if None in ends else (float(ends[0]), float(ends[1]))
    rows = evaluation["rows"]
    rule = bound_rule(
        name, metric.get("value"), minimum=low, maximum=high, n=rows, interval=interval
    )
    if rule.verdict == "pass":
        return rule
    cure = f"Train a better model, or change {name} in {parameter}."
    return replace(rule, sentence=f"{rule.sentence} {cure}")


def default_rules(evaluation: Mapping[str, Any]) -> list[Rule]:
    """The rules without bounds: rows enough, better than baselines, no slice collapses."""
    return [
        rows_rule(evaluation),
        baseline_rule(evaluation),
        linear_rule(evaluation),
        *slice_rules(evaluation),
    ]


def rows_rule(evaluation: Mapping[str, Any]) -> Rule:
    """Whether there are rows enough for an interval to mean anything: 30, and 5 of either class."""
    rows, task = int(evaluation["rows"]), evaluation["task"]
    if task == "ranking":
        return _queries_rule(evaluation)
    counts = evaluation.get("class_counts", {}) if task == "binary" else {}
    rare = min(counts, key=lambda name: int(counts[name]), default="")
    cure = (
        "Intervals mean little below that: raise test_fraction, bring more data, or state the "
        "bounds to judge by in minimum_metrics or maximum_metrics."
    )
    if rare and counts[rare] < MIN_CLASS_ROWS:
        bound = f">= {MIN_CLASS_ROWS} of each class"
        text = f"The test table has {counts[rare]} rows of class '{rare}', not {bound}. {cure}"
        return Rule("test_rows", "fail", text, float(counts[rare]), bound, n=rows)
    text = f"The test table has {rows:,} rows"
    text += "." if rows >= MIN_ROWS else f", not >= {MIN_ROWS}. {cure}"
    return bound_rule("test_rows", float(rows), minimum=MIN_ROWS, sentence=text, n=rows)


def _queries_rule(evaluation: Mapping[str, Any]) -> Rule:
    """Whether 30 queries have a relevant row: of a ranking they are what intervals rest on."""
    found = evaluation["ranking"]
    queries = int(found["measured"])
    text = f"{queries:,} of {found['queries']:,} test queries have a relevant row"
    text += "." if queries >= MIN_ROWS else f", not >= {MIN_ROWS}. Bring more queries."
    return bound_rule("test_queries", float(queries), minimum=MIN_ROWS, sentence=text, n=queries)


def baseline_rule(evaluation: Mapping[str, Any]) -> Rule:
    """Whether the main metric beats the best constant, measured on the same rows, at 99.9 %."""
    main, gain = evaluation["main_metric"], evaluation.get("gain")
    rows = evaluation["rows"]
    if not gain or not _is_measured(gain):
        text = (
            f"{main} could not be measured on the {rows:,} test rows, so nothing shows that the "
            "model is better than a constant. Bring test rows of every class."
        )
        return Rule("better_than_constant", "fail", text, bound="> 0", n=rows)
    constant = evaluation["baselines"]["constant"][main]
    value = evaluation["metrics"][main]["value"]
    said = f"{main} is {value:.4g}, {TASKS[evaluation['task']].constant} gets {constant:.4g}; "
    better = surely_better(gain)
    if better:
        text = said + "the model is better beyond chance."
    else:
        text = said + (
            "that is not better beyond chance. Bring more rows or columns that tell more, "
            "or look for a mistake in the label."
        )
    verdict = "pass" if better else "fail"
    interval = (gain["low"], gain["high"])
    return Rule("better_than_constant", verdict, text, gain["value"], "> 0", "", rows, interval)


def linear_rule(evaluation: Mapping[str, Any]) -> Rule:
    """Whether the trees earn their keep: against a linear model on the same features and rows.

    It fails where the model surely loses more than a twentieth of what the linear model gains over
    a constant: where the whole interval of the loss lies beyond that. The share is of the main
    metric, but of a regression of R2, since squared errors add up as log losses do; and its MAE
    must say so, too, as a model of the median is no worse for its squared errors. So a model that
    is as good as right is not stopped by one that is nearer still, nor one that has little to gain
    by a loss that is small beside that. Less than that is a warning, and so is a tie: the simpler
    model would do, but nobody is harmed by the trees. Better beyond chance passes. A rule of a
    file (`against: linear`, `end: low`) may ask for more.
    """
    name, main, rows = "better_than_linear", evaluation["main_metric"], evaluation["rows"]
    gains = (evaluation.get("gains") or {}).get("linear", {})
    judged = LINEAR_MEASURES.get(main, (main,))
    gain = gains.get(judged[0])
    if not gain or not _is_measured(gain):
        text = (
            "No linear model was fitted to compare with. Give the evaluation the training rows, "
            "and test rows of every class."
        )
        return Rule(name, "warn", text, bound="> 0", n=rows)
    linear, margin = _linear_margin(evaluation, judged[0])
    said = f"Against a linear model ({judged[0]} {linear:.4g}) the model is"
    ends = f"(gain {gain['low']:.4g} to {gain['high']:.4g})"
    size = f"by {abs(gain['value']):.4g} {ends}"
    much = f"{LINEAR_SHARE:.0%} of what the linear model gains over a constant ({margin:.4g})"
    if gain["low"] > 0:
        verdict, text = "pass", f"{said} better {size}."
    elif all(gains[each]["high"] < -_linear_margin(evaluation, each)[1] for each in judged):
        verdict, text = "fail", f"{said} worse {size}: surely by more than {much}. "
        text += (
            "Look for a mistake in its features or parameters, tune it, or serve the linear one."
        )
    else:
        how = f"worse {size}, but" if gain["high"] < 0 else f"not better beyond chance {ends}, and"
        verdict, text = "warn", f"{said} {how} not surely worse by more than {much}. "
        text += "Tune it, or bring columns in which more than sums matter."
    interval = (gain["low"], gain["high"])
    return Rule(name, verdict, text, gain["value"], f">= {-margin:.4g}", "", rows, interval)


def _linear_margin(evaluation: Mapping[str, Any], name: str) -> tuple[float, float]:
    """A metric of the linear model, and how much worse the model may surely be."""
    linear, constant = (evaluation["baselines"][other][name] for other in ("linear", "constant"))
    return float(linear), LINEAR_SHARE * abs(linear - constant)


def slice_rules(evaluation: Mapping[str, Any]) -> list[Rule]:
    """A failure for each slice of 50 rows or more on which the model is worse than a constant.

    The slices that were given or chosen, and the weak regions that were found.
    """
    parts = [*evaluation["slices"], *(evaluation.get("regions") or {}).get("found", [])]
    slices = [part for part in parts if part["n"] >= MIN_SLICE_ROWS]
    measured = [part for part in slices if _is_measured(part.get("gain"))]
    main = evaluation["main_metric"]
    rules = []
    for part in measured:
        gain = part["gain"]
        if gain["high"] < 0:
            text = (
                f"Where {part['slice']}, {main} is {part['metrics'][main]:.4g} on {part['n']:,} "
                "rows: worse than a constant beyond chance. Look at these rows; the model must not "
                "decide about them."
            )
            interval = (gain["low"], gain["high"])
            rule = Rule(
                "slice", "fail", text, gain["value"], ">= 0", part["slice"], part["n"], interval
            )
            rules.append(rule)
    if rules:
        return rules
    text = f"Slices judged: {len(measured)}. On none is {main} worse than a constant's."
    if not measured:
        text = f"No slice has rows enough to judge it by its {main}."
    elif len(slices) > len(measured):
        text += f" {len(slices) - len(measured)} more have too few rows of a class to be judged."
    return [Rule("slice", "pass", text, float(len(measured)))]


def unseen_rule(evaluation: Mapping[str, Any]) -> list[Rule]:
    """A warning when the test rows hold classes that training never saw."""
    unseen = evaluation.get("unseen_classes") or {}
    if not unseen:
        return []
    named = ", ".join(f"'{name}' ({count:,} rows)" for name, count in list(unseen.items())[:10])
    text = (
        f"The test rows hold classes that training never saw: {named}. The model can never say "
        "them; they count as errors of accuracy. Train on data that holds them."
    )
    return [Rule("unseen_classes", "warn", text, float(sum(unseen.values())))]


def _is_measured(gain: Mapping[str, Any] | None) -> bool:
    return bool(gain) and all(
        isinstance(gain[end], int | float) for end in ("value", "low", "high") if gain is not None
    )
