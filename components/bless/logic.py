"""Bless a model, or reject it with reasons."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shipway.components.bless.champion import Comparison, compare
from shipway.components.bless.evidence import Evidence
from shipway.components.bless.gates import read_gates
from shipway.components.bless.judge import gate_rules, overridden
from shipway.components.bless.rules import bound_rules, default_rules, identity_rule, unseen_rule
from shipway.components.lib.decision import Decision
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.metric_words import said_of
from shipway.components.lib.metrics import METRIC_NAMES
from shipway.components.lib.model_package import load_package
from shipway.components.lib.reports import Report
from shipway.components.lib.tables import count_rows

logger = logging.getLogger(__name__)

NEEDED = ("digest", "task", "rows", "metrics", "main_metric", "baselines", "slices")


def bless(
    evaluation: Path,
    model: Path,
    test: Path,
    decision: Path,
    report: Path,
    *,
    model_name: str,
    model_store: str = "",
    minimum_metrics: Mapping[str, float] | None = None,
    maximum_metrics: Mapping[str, float] | None = None,
    gates_uri: str = "",
) -> str:
    """Decide whether a model may be registered.

    Absolute rules: the bounds that were given, or else that the model is better than a constant,
    not surely worse than a linear model by more than a margin, and that no slice collapses; and
    what a rules file adds.
    Change rule: not worse than the champion beyond chance, on the same rows. What cannot be
    measured fails.

    Args:
        evaluation: JSON file of the evaluation.
        model: directory of the model package.
        test: Dataset directory of the test rows.
        decision: JSON file to write.
        report: HTML page to write.
        model_name: under which the champion stands in the store.
        model_store: URI of the model store; empty skips the change rule.
        minimum_metrics: inclusive lower bounds by metric.
        maximum_metrics: inclusive upper bounds by metric.
        gates_uri: path, URI or text of a rules file (`gates.py`).

    Returns:
        "blessed" or "rejected".

    Raises:
        ConfigurationError: the evaluation or the rules file is not readable, or a bound is not a
            number.
        ModelPackageError: the package is damaged or of another version.
        StoreError: the model store cannot be read.
    """
    gates = read_gates(gates_uri)
    measured = _read(evaluation)
    package = load_package(model)
    minimum = _bounds("minimum_metrics", minimum_metrics)
    maximum = _bounds("maximum_metrics", maximum_metrics)
    rules = [identity_rule(measured, package.digest, count_rows(test))]
    rules += bound_rules(measured, minimum, maximum)
    if gates.defaults and not (minimum or maximum):
        rules += default_rules(measured)
    rules += unseen_rule(measured)
    comparison = compare(package, test, model_name, model_store)
    rules.append(comparison.rule)
    rules += gate_rules(gates.rules, Evidence(measured, package, test, comparison))
    rules = overridden(rules, gates.overrides)
    decided = Decision("model", f"{model_name} {package.digest[:12]}", rules)
    verdict = "blessed" if decided.verdict == "pass" else "rejected"
    _write_page(report, decided, verdict, measured, comparison)
    decided.save(decision)
    logger.info("%s is %s by %d rules.", decided.subject, verdict, len(decided.rules))
    for rule in decided.failures:
        logger.warning("%s", rule.sentence)
    return verdict


def _bounds(parameter: str, bounds: Mapping[str, float] | None) -> dict[str, float]:
    for name, bound in (bounds or {}).items():
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise ConfigurationError(
                f"{parameter}['{name}'] is {bound!r}; a bound is a number, such as 0.8."
            )
    return dict(bounds or {})


def _read(path: Path) -> dict[str, Any]:
    cure = "Run evaluate_model again and pass its evaluation."
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"'{path}' is not an evaluation: {error}. {cure}") from error
    missing = [name for name in NEEDED if not isinstance(value, dict) or name not in value]
    if missing or value["task"] not in METRIC_NAMES:
        what = f"it lacks {', '.join(missing)}" if missing else f"task {value['task']!r} is unknown"
        raise ConfigurationError(f"'{path}' is not an evaluation: {what}. {cure}")
    return dict(value)


def _write_page(
    path: Path, decided: Decision, verdict: str, measured: Mapping[str, Any], found: Comparison
) -> None:
    rules, failed, warned = len(decided.rules), len(decided.failures), len(decided.warnings)
    mind = f", with {warned} warning{'s' if warned > 1 else ''}" if warned else ""
    lead = f"Yes. {decided.subject} breaks none of {rules} rules{mind}, and may be registered."
    if failed:
        lead = f"No. {decided.subject} breaks {failed} of {rules} rules:"
    reasons = [rule.sentence for rule in decided.failures or decided.warnings]
    report = Report("May this model ship?", lead, verdict, reasons)
    report.add_decision(decided)
    if found.candidate is not None and found.champion is not None:
        names = [name for name in METRIC_NAMES[measured["task"]] if name in found.candidate]
        rows = [
            [
                name,
                found.candidate[name],
                found.champion.get(name),
                said_of(name),
            ]
            for name in names
        ]
        report.add_table(
            "Candidate and champion",
            ["Metric", "Candidate", f"Champion, version {found.version}", "What it is"],
            rows,
            f"Both scored on the same {measured['rows']:,} test rows, each by its own plan.",
        )
    report.save(path)
