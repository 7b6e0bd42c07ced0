"""Drift and skew: read both tables, compare them, decide, and write the page."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from shipway.components.lib.drift.comparison import Comparison, Settings, compare
from shipway.components.lib.drift.reference import build_reference
from shipway.components.lib.drift.sample import SAMPLE, draw
from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.monitor.page import write_page
from shipway.components.monitor.rules import decide
from shipway.components.monitor.source import PREDICTION, Source, open_source

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to look for.

    Attributes:
        thresholds: Jensen-Shannon distance in 0..1 that fails, by column.
        false_alarm_rate: share of runs that may raise an alarm where nothing moved, in 0..0.5.
        ignored: columns that are not compared.
        label: the column to predict; empty for none.
        prediction: the column with predictions; empty for none.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    false_alarm_rate: float = 0.01
    ignored: Sequence[str] = field(default_factory=list)
    label: str = ""
    prediction: str = ""


def detect(
    baseline: Path, current: Path, request: Request, decision_path: Path, report_path: Path
) -> str:
    """Compare two tables and write the decision and the page.

    Returns:
        "pass" or "fail".

    Raises:
        ConfigurationError: the request names an unknown column, or a bound that is none.
        DataError: a table is missing, or the baseline has no rows.
    """
    base, new = open_source(baseline), open_source(current)
    if base.is_log and new.is_log and not request.prediction:
        request = replace(request, prediction=PREDICTION)
    comparison = run_comparison(base, new, request)
    decision = decide(comparison, request.false_alarm_rate, request.label, request.prediction)
    decision.rules += [rule for source in (base, new) for rule in source.rules]
    write_page(report_path, comparison, decision, request.false_alarm_rate)
    decision.save(decision_path)
    _log.info(
        "drift gate: %s; %d failed, %d warned of %d rules",
        decision.verdict, len(decision.failures), len(decision.warnings), len(decision.rules),
    )  # fmt: skip
    return decision.verdict


def run_comparison(baseline: Source, current: Source, request: Request) -> Comparison:
    """Compare two tables."""
    reference, base_sample = build_reference(baseline.tables, request.ignored)
    if not reference.rows:
        raise DataError(
            f"The baseline '{baseline.path}' has no rows, so nothing can be compared with it. Give "
            "the rows that the model learnt from."
        )
    counted = reference.counting(current.tables())
    _check(request, reference.columns, counted.columns)
    sample, _ = draw(current.tables(), SAMPLE, seed=1)
    # What a log was told by the model has no like in a table of raw rows.
    told = {PREDICTION} if baseline.is_log != current.is_log else set()
    for one in (reference, counted):
        one.columns = [name for name in one.columns if name not in {*request.ignored, *told}]
    settings = Settings(
        request.thresholds,
        request.false_alarm_rate,
        label=request.label,
        prediction=request.prediction,
    )
    found = compare(reference, counted, (base_sample, sample), settings)
    return replace(found, private=baseline.private | current.private)


def _check(request: Request, names: Sequence[str], current: Sequence[str]) -> None:
    either = list(dict.fromkeys([*names, *current]))
    named = [
        *(("drift_thresholds", name, names) for name in request.thresholds),
        *(("ignored_columns", name, either) for name in request.ignored),
        *((key, getattr(request, key), names) for key in ("label", "prediction")),
    ]
    for parameter, name, known in named:
        if name and name not in known:
            raise ConfigurationError(
                f"{parameter} names '{name}', which is no column of the baseline."
                f"{nearest(name, known)} It has {', '.join(known[:10])}."
            )
    for name, bound in request.thresholds.items():
        if not (math.isfinite(bound) and 0 <= bound <= 1):
            raise ConfigurationError(
                f"drift_thresholds gives {bound:g} for '{name}'; a Jensen-Shannon distance lies "
                "between 0 (equal) and 1 (nothing in common). Write 0.1, or another one in there."
            )
    if not 0 < request.false_alarm_rate <= 0.5:
        raise ConfigurationError(
            f"false_alarm_rate={request.false_alarm_rate:g} must be above 0 and at most 0.5: the "
            "share of runs that may raise an alarm where nothing moved. Write 0.01, for example."
        )
