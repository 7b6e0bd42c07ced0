"""The rules file of the model gate, `gates.yaml`: what is asked of a model, and who overrides what.

defaults: true                # keep the default rules, too; true unless it says false
rules:
- {metric: auc, at_least: 0.8, end: low}
- {metric: recall, at_least: 0.6, slice: "contract=Monthly"}
- {metric: log_loss, at_least: 0, against: champion, end: low}
- {metric: fairness.sex.selection_rate.ratio, at_least: 0.8, severity: warn}
- {metric: cost.latency_ms_p95, at_most: 5}
overrides:
- {rule: better_than_linear, by: Ada Lovelace, reason: "the linear model cannot be served"}
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.settings_file import check_keys, read_settings

ENDS = ("value", "low", "high")
AGAINST = ("", "champion", "constant", "one_rule", "linear")
SEVERITIES = ("fail", "warn")
EACH = "each"
MIN_ROWS = 50
MIN_REASON = 10


@dataclass(frozen=True)
class Gate:
    """One rule that was asked for.

    Attributes:
        metric: a metric of the task, or a path such as cost.bytes, calibration.p,
            stability.wear, robustness.drop, robustness.turned or
            fairness.COLUMN.RATE.difference (or ratio).
        at_least: inclusive lower bound.
        at_most: inclusive upper bound.
        end: which end of the interval is held to the bound: "value", "low" or "high".
        slice: "column=value", or "each" for every slice of the evaluation; empty for all rows.
        against: measure the improvement over this instead, positive where the model is better.
        severity: "fail" stops, "warn" reports.
        min_rows: slices with fewer rows are not judged by "each" and fail by name.
        name: of the rule.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    end: str = "value"
    slice: str = ""
    against: str = ""
    severity: str = "fail"
    min_rows: int = MIN_ROWS
    name: str = ""


@dataclass(frozen=True)
class Override:
    """A rule that may fail, by whose word and why."""

    rule: str
    by: str
    reason: str


@dataclass(frozen=True)
class Gates:
    """What stands in a rules file."""

    rules: list[Gate] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)
    defaults: bool = True


def read_gates(uri: str) -> Gates:
    """Read a rules file, or its text; none where it is empty.

    Args:
        uri: a path or URI of one file; or the YAML itself, which has more than one line.

    Raises:
        ConfigurationError: it is no YAML, or a part of it is unknown, missing or of another type.
        DataError: the file cannot be read.
    """
    value = read_settings("gates_uri", uri, ("rules", "overrides", "defaults"))
    if not value:
        return Gates()
    if not isinstance(value.get("defaults", True), bool):
        raise ConfigurationError("gates_uri: 'defaults' is true or false.")
    gates = Gates(
        [_gate(number, each) for number, each in enumerate(value.get("rules") or [], 1)],
        [_override(number, each) for number, each in enumerate(value.get("overrides") or [], 1)],
        value.get("defaults", True),
    )
    if not gates.defaults and all(rule.severity == "warn" for rule in gates.rules):
        raise ConfigurationError(
            "gates_uri sets 'defaults: false' and no rule that stops: then nothing would be asked "
            "of the model. Write one without 'severity: warn', or leave 'defaults' out."
        )
    return gates


def _gate(number: int, value: Any) -> Gate:
    where = f"gates_uri: rule {number}"
    check_keys(where, value, tuple(Gate.__dataclass_fields__))
    if not isinstance(value.get("metric"), str):
        raise ConfigurationError(f"{where} names no metric, such as 'metric: auc'.")
    bounds = {key: value.get(key) for key in ("at_least", "at_most")}
    for key, bound in bounds.items():
        wrong = isinstance(bound, bool) or not isinstance(bound, int | float | None)
        if wrong or (bound is not None and not math.isfinite(bound)):
            raise ConfigurationError(f"{where}: {key} is {bound!r}; it is a number.")
    if all(bound is None for bound in bounds.values()):
        raise ConfigurationError(f"{where} ('{value['metric']}') has neither at_least nor at_most.")
    choices = {"end": ENDS, "against": AGAINST, "severity": SEVERITIES}
    for key, known in choices.items():
        if key in value and value[key] not in known:
            words = ", ".join(word for word in known if word)
            raise ConfigurationError(f"{where}: {key} is {value[key]!r}; it is one of {words}.")
    rows = value.get("min_rows", MIN_ROWS)
    if isinstance(rows, bool) or not isinstance(rows, int):
        raise ConfigurationError(f"{where}: min_rows is {rows!r}; it is a whole number.")
    named: dict[str, Any] = {"name": _name(value)} | dict(value)
    named["slice"] = str(value.get("slice") or "")
    return Gate(**named)


def _name(value: Mapping[str, Any]) -> str:
    name = str(value["metric"])
    if value.get("against"):
        name += f" against {value['against']}"
    return f"{name} on {value['slice']}" if value.get("slice") else name


def _override(number: int, value: Any) -> Override:
    where = f"gates_uri: override {number}"
    check_keys(where, value, tuple(Override.__dataclass_fields__))
    texts = {key: str(value.get(key) or "").strip() for key in Override.__dataclass_fields__}
    for key, text in texts.items():
        if not text:
            raise ConfigurationError(f"{where} lacks '{key}': it names the rule, a person and why.")
    if len(texts["reason"]) < MIN_REASON:
        raise ConfigurationError(
            f"{where}: the reason '{texts['reason']}' says too little; a reader of the model card "
            "must understand why the rule does not hold."
        )
    return Override(**texts)
