"""Watching an endpoint while it bakes: errors, identity, parity and latency of golden rows."""

import itertools
import math
import time
from dataclasses import dataclass, field, replace

from shipway.components.lib.answering import answering_digest
from shipway.components.lib.decision import Rule, bound_rule
from shipway.components.lib.endpoint import Endpoint, Golden, Row, quantile
from shipway.components.lib.errors import EndpointError
from shipway.components.lib.parity import TOLERANCE, compare_v1
from shipway.components.lib.release_policy import ReleasePolicy
from shipway.components.lib.serving_record import ServingRecord

LEAST_REQUESTS = 20
PAUSE_SECONDS = 0.2
SETTLE_SECONDS = 60.0
SETTLED_ANSWERS = 10


@dataclass
class _Watch:
    """What the requests of one step showed."""

    failed: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    asked: int = 0

    @property
    def error_rate(self) -> float:
        return len(self.failed) / self.asked


def bake(
    record: ServingRecord, golden: Golden, policy: ReleasePolicy, share: int, version: str
) -> list[Rule]:
    """Ask an endpoint for golden rows until the bake is over, or a bound is broken.

    Args:
        record: where to ask, and which model should answer.
        golden: its rows and what they must get.
        policy: bounds and duration; there are at least 20 requests.
        share: of the traffic that the model has, in percent.
        version: of the model.

    Returns:
        One rule each for errors, identity, parity and, when it has a bound, latency.
    """
    watch = _Watch()
    end = time.monotonic() + policy.bake_seconds
    rows = itertools.cycle(zip(golden.rows, golden.outputs, strict=True))
    with Endpoint(record) as endpoint:
        while watch.asked < LEAST_REQUESTS or time.monotonic() < end:
            _ask(endpoint, record, next(rows), watch)
            broken = watch.strangers or watch.error_rate > policy.maximum_error_rate
            if watch.asked >= LEAST_REQUESTS and broken:
                break
            if time.monotonic() < end:
                time.sleep(PAUSE_SECONDS)
    return _rules(watch, policy, share, version)


def _ask(endpoint: Endpoint, record: ServingRecord, golden: tuple[Row, Row], watch: _Watch) -> None:
    watch.asked += 1
    row, expected = golden
    try:
        reply = endpoint.ask_v1([row])
    except EndpointError as error:
        watch.failed.append(str(error))
        return
    if reply.status != 200:
        watch.failed.append(f"status {reply.status}: {str(reply.value)[:200]}")
        return
    watch.milliseconds.append(reply.milliseconds)
    if reply.digest != record.digest:
        watch.strangers.append(reply.digest or "none")
        return
    parity = compare_v1(reply, [expected])
    wrong = parity.labels or parity.largest is None
    watch.differences.append(math.inf if wrong else float(parity.largest or 0.0))


def _rules(watch: _Watch, policy: ReleasePolicy, share: int, version: str) -> list[Rule]:
    where, asked = f"{share}% of the traffic", watch.asked
    said = f" The first: {watch.failed[0]}" if watch.failed else ""
    rules = [
        bound_rule(
            "error_rate",
            watch.error_rate,
            maximum=policy.maximum_error_rate,
            sentence=f"{len(watch.failed)} of {asked} requests failed at {where}.{said}",
            slice=where,
            n=asked,
        )
    ]
    other = f" The first was of {watch.strangers[0][:12]}." if watch.strangers else ""
    told = f"{len(watch.strangers)} of {asked} answers were not version {version}'s.{other}"
    rules.append(
        bound_rule("identity", len(watch.strangers), maximum=0, sentence=told, slice=where, n=asked)
    )
    worst = max(watch.differences, default=None)
    rules.append(bound_rule("parity", worst, maximum=TOLERANCE, slice=where, n=asked))
    if policy.maximum_latency_ms > 0:
        times = watch.milliseconds
        p95 = quantile(times, 0.95) if times else None
        bound = policy.maximum_latency_ms
        rules.append(bound_rule("latency_p95_ms", p95, maximum=bound, slice=where, n=len(times)))
    return rules


def settle(record: ServingRecord) -> str:
    """Ask over new connections until one model answers all of them: routes change with a delay.

    Args:
        record: where to ask, and which model should answer.

    Returns:
        What is wrong in the end; empty when nothing is.
    """
    end, alike = time.monotonic() + SETTLE_SECONDS, 0
    while alike < SETTLED_ANSWERS:
        digest = answering_digest(record)
        alike = alike + 1 if digest == record.digest else 0
        if alike == 0 and time.monotonic() > end:
            who = f"package {digest[:12]} answers there" if digest else "no model answers there"
            return f"{record.endpoint} is not changed over after {SETTLE_SECONDS:.0f} s: {who}."
        if alike == 0:
            time.sleep(PAUSE_SECONDS)
    return ""


def at_stable(record: ServingRecord, digest: str = "") -> ServingRecord:
    """The record of the URL that callers use, with the model that should answer there."""
    return replace(record, endpoint=record.stable_endpoint, digest=digest or record.digest)
