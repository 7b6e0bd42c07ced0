"""Prove a candidate's endpoint: the right model, the same answers, sound refusals, its latency."""

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipway.components.lib.decision import Decision, Rule, bound_rule
from shipway.components.lib.endpoint import Endpoint, Golden, Reply, Row, quantile
from shipway.components.lib.errors import EndpointError
from shipway.components.lib.parity import TOLERANCE, Parity, compare_v1, compare_v2
from shipway.components.lib.reports import Report
from shipway.components.lib.serving_record import ServingRecord

logger = logging.getLogger(__name__)

TIMED_REQUESTS = 50
WARM_UP_REQUESTS = 3
QUANTILES = (0.5, 0.95, 0.99)


@dataclass
class _Findings:
    """What the endpoint showed."""

    rules: list[Rule] = field(default_factory=list)
    parities: dict[str, Parity] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)


def probe(
    serving_record: Path,
    model: Path,
    decision: Path,
    report: Path,
    maximum_latency_ms: float = 0.0,
) -> tuple[str, dict[str, float]]:
    """Replay the golden rows of a model at its endpoint and decide.

    Args:
        serving_record: JSON file that the deploy step wrote.
        model: the model package that should answer.
        decision: path for the decision, JSON.
        report: path for the page, HTML.
        maximum_latency_ms: bound on the 95th percentile of single-row requests; 0 for none.

    Returns:
        The verdict, "pass" or "fail", and the figures: p50, p95, p99 in ms, largest difference.

    Raises:
        ConfigurationError: the package cannot be read.
        EndpointError: the serving record cannot be read.
    """
    record, golden = ServingRecord.load(serving_record), Golden.load(model)
    findings = _Findings()
    try:
        with Endpoint(record) as endpoint:
            _examine(endpoint, record, golden, maximum_latency_ms, findings)
    except EndpointError as error:
        findings.rules.append(Rule("reached", "fail", str(error)))
    subject = f"{record.model_name} version {record.version}"
    decided = Decision("endpoint", subject, findings.rules)
    decided.save(decision)
    _write_page(report, record, golden, findings, decided)
    figures = _figures(findings)
    logger.info(
        "Endpoint of %s: %s; p50 %.1f ms; %s",
        subject,
        decided.verdict,
        figures.get("latency_p50_ms", math.nan),
        "; ".join(rule.sentence for rule in decided.failures) or "every rule holds.",
    )
    return decided.verdict, figures


def _examine(
    endpoint: Endpoint,
    record: ServingRecord,
    golden: Golden,
    maximum_latency_ms: float,
    findings: _Findings,
) -> None:
    first = endpoint.ask_v1(golden.rows)
    findings.rules.append(Rule("reached", "pass", f"{record.v1_url} answers."))
    findings.rules.append(_identity_rule(first, record, golden))
    findings.parities["v1"] = compare_v1(first, golden.outputs)
    findings.rules += _parity_rules("v1", findings.parities["v1"])
    second = endpoint.ask_v2(golden.rows, golden.columns)
    findings.parities["v2"] = compare_v2(second, golden.outputs)
    findings.rules += _parity_rules("v2", findings.parities["v2"])
    findings.rules.append(_refusal_rule(endpoint, golden))
    findings.latencies, failed = _time_requests(endpoint, golden)
    sentence = f"{failed} of {TIMED_REQUESTS} single-row requests were not answered with 200."
    findings.rules.append(bound_rule("single_rows", failed, maximum=0, sentence=sentence))
    if maximum_latency_ms > 0:
        p95 = quantile(findings.latencies, 0.95) if findings.latencies else None
        count = len(findings.latencies)
        findings.rules.append(
            bound_rule("latency_p95_ms", p95, maximum=maximum_latency_ms, n=count)
        )


def _identity_rule(reply: Reply, record: ServingRecord, golden: Golden) -> Rule:
    came = reply.digest or "none"
    if record.digest != golden.digest:
        sentence = (
            f"The record is of package {record.digest[:12]}, but the model to prove is "
            f"{golden.digest[:12]}; deploy that one."
        )
    elif reply.digest != record.digest:
        sentence = (
            f"The endpoint says that it is package {came[:12]}, not {record.digest[:12]}: another "
            "model answers there. Wait until the new version is live, and look at the route."
        )
    else:
        sentence = f"The package that answers is {came[:12]}, the one that was deployed."
        return Rule("identity", "pass", sentence, came, record.digest)
    return Rule("identity", "fail", sentence, came, record.digest)


def _parity_rules(protocol: str, parity: Parity) -> list[Rule]:
    count, name = len(parity.differences), f"parity_{protocol}"
    if parity.problem:
        sentence = f"{protocol.upper()} cannot be compared: {parity.problem}."
        return [Rule(name, "fail", sentence, bound=f"<= {TOLERANCE:g}")]
    largest = parity.largest
    sentence = (
        f"{protocol.upper()} answers for {count} golden rows differ by {largest:.3g} at most."
    )
    wrong = len(parity.labels)
    labels = f"{protocol.upper()} gives another label for {wrong} of {count} golden rows."
    return [
        bound_rule(name, largest, maximum=TOLERANCE, sentence=sentence, n=count),
        bound_rule(f"labels_{protocol}", wrong, maximum=0, sentence=labels, n=count),
    ]


def _refusal_rule(endpoint: Endpoint, golden: Golden) -> Rule:
    """Send a row whose first column holds a list, which no column may."""
    column = golden.columns[0][0]
    reply = endpoint.ask_v1([{**golden.rows[0], column: ["not a cell"]}])
    text = reply.value.get("error") if isinstance(reply.value, dict) else None
    sound = reply.status == 400 and isinstance(text, str) and column in text
    told = "names the column" if sound else f"was {str(reply.value)[:200]}"
    sentence = f"A row with a list in '{column}' gets the status {reply.status}; the answer {told}."
    verdict = "pass" if sound else "fail"
    return Rule("refusal", verdict, sentence, float(reply.status), "400, naming the column")


def _time_requests(endpoint: Endpoint, golden: Golden) -> tuple[list[float], int]:
    """Milliseconds of the single-row requests that were answered, and how many were not."""
    for index in range(WARM_UP_REQUESTS):
        endpoint.ask_v1([golden.rows[index % len(golden.rows)]])
    replies = [
        endpoint.ask_v1([golden.rows[index % len(golden.rows)]]) for index in range(TIMED_REQUESTS)
    ]
    answered = [reply.milliseconds for reply in replies if reply.status == 200]
    return answered, len(replies) - len(answered)


def _figures(findings: _Findings) -> dict[str, float]:
    figures = {
        f"latency_p{share * 100:.0f}_ms": round(quantile(findings.latencies, share), 3)
        for share in QUANTILES
        if findings.latencies
    }
    for protocol, parity in findings.parities.items():
        if parity.largest is not None and math.isfinite(parity.largest):
            figures[f"largest_difference_{protocol}"] = parity.largest
    return figures


def _write_page(
    path: Path, record: ServingRecord, golden: Golden, findings: _Findings, decided: Decision
) -> None:
    passed = decided.verdict == "pass"
    lead = (
        f"{'Yes' if passed else 'No'}. {record.model_name} version {record.version} was asked "
        f"{len(golden.rows)} golden rows by two protocols at {record.endpoint}"
        + (", and answers as at training time." if passed else ":")
    )
    reasons = [rule.sentence for rule in decided.failures]
    page = Report("Does the endpoint answer as the model did?", lead, decided.verdict, reasons)
    page.add_decision(decided)
    if findings.latencies:
        rows = [[f"{share:.0%}", quantile(findings.latencies, share)] for share in QUANTILES]
        note = f"{len(findings.latencies)} requests of one row, one after another, by V1."
        page.add_table("Latency", ["Share of the requests", "Milliseconds at most"], rows, note)
    compared = {name: p for name, p in findings.parities.items() if not p.problem}
    if compared:
        head, cells = _expected(golden.outputs)
        columns = ["Row", *head, *(f"Difference by {name.upper()}" for name in compared)]
        rows_of_page = [
            [index, *told, *(parity.differences[index] for parity in compared.values())]
            for index, told in enumerate(cells)
        ]
        note = "The difference is of the value, or the largest of any class's probability."
        page.add_table("Golden rows", columns, rows_of_page, note)
    page.save(path)


def _expected(outputs: list[Row]) -> tuple[list[str], list[list[Any]]]:
    """What the rows must get, as columns of a table and their cells."""
    if "label" in outputs[0]:
        likely = [[one["label"], one["probabilities"].get(str(one["label"]))] for one in outputs]
        return ["Expected", "Its probability"], likely
    if "interval" in outputs[0]:
        return ["Expected", "From", "To"], [[one["value"], *one["interval"]] for one in outputs]
    return ["Expected"], [[one["value"]] for one in outputs]
