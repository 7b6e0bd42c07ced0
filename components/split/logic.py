"""Splitting: the strategy, the three tables, the leakage gate and its page."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.decision import Decision
from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.reports import Report
from shipway.components.lib.tables import ROW_GROUP, TableSummary, TableWriter, read_table
from shipway.components.lib.task import Target, resolve_target
from shipway.components.split.assignment import (
    NAMES,
    TRAIN,
    by_class,
    by_group,
    by_hash,
    by_time,
    row_hashes,
)
from shipway.components.split.leakage import counts_by_part, find_leaks

STRATEGIES = ("auto", "hash", "stratified", "time", "group")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """How to split.

    Attributes:
        label: column to predict.
        strategy: auto, hash, stratified, time or group.
        time_column: needed by "time".
        group_column: needed by "group".
        validation_fraction: share of rows, above 0.
        test_fraction: share of rows, above 0; both leave at least 0.1 for training.
        task: auto, binary, multiclass or regression.
        accepted_leaks: columns that the gate may report but not stop for.
    """

    label: str
    strategy: str = "auto"
    time_column: str = ""
    group_column: str = ""
    validation_fraction: float = 0.15
    test_fraction: float = 0.2
    task: str = "auto"
    accepted_leaks: Sequence[str] = field(default_factory=list)


def split(
    dataset: Path,
    request: Request,
    paths: Mapping[str, Path],
    decision_path: Path,
    report_path: Path,
) -> tuple[str, dict[str, dict[str, str | float]]]:
    """Split a Dataset into `paths["train"]`, `["validation"]` and `["test"]`.

    Returns:
        The leakage gate's verdict, and the metadata of each table.

    Raises:
        ConfigurationError: the request contradicts itself or the table.
        DataError: the rows cannot be split so.
    """
    table = read_table(dataset)
    _check(request, table.column_names)
    target = resolve_target(table.column(request.label), request.task)
    strategy = _strategy(request, target)
    hashes = row_hashes(table, request.label)
    parts = _assign(table, request, target, strategy, hashes)
    _check_parts(table.column(request.label), target, parts, strategy)
    found = find_leaks(
        table, request.label, target, parts, hashes, request.accepted_leaks, request.group_column
    )
    summaries = {name: _write(table, parts == part, paths[name]) for part, name in enumerate(NAMES)}
    _write_page(report_path, table, request, target, strategy, parts, found)
    found.save(decision_path)
    rows = {name: summary.rows for name, summary in summaries.items()}
    _log.info("split by %s: %s; leakage gate: %s", strategy, rows, found.verdict)
    metadata = {
        name: {**summary.metadata(), "split_strategy": strategy}
        for name, summary in summaries.items()
    }
    return found.verdict, metadata


def _check(request: Request, names: Sequence[str]) -> None:
    if request.strategy not in STRATEGIES:
        raise ConfigurationError(
            f"split_strategy='{request.strategy}' is unknown: it is {', '.join(STRATEGIES)}."
            f"{nearest(request.strategy, STRATEGIES)}"
        )
    for parameter in ("label", "time_column", "group_column"):
        name = getattr(request, parameter)
        if name and name not in names:
            raise ConfigurationError(
                f"{parameter}='{name}' is no column of the table.{nearest(name, names)} It may "
                "have been excluded."
            )
    for strategy in ("time", "group"):
        if request.strategy == strategy and not getattr(request, f"{strategy}_column"):
            raise ConfigurationError(
                f"split_strategy='{strategy}' needs {strategy}_column: name the column."
            )
    shares = (request.validation_fraction, request.test_fraction)
    if not (min(shares) > 0 and sum(shares) <= 0.9):
        raise ConfigurationError(
            f"validation_fraction={shares[0]:g} and test_fraction={shares[1]:g} must be above 0 "
            "and leave at least 0.1 for training."
        )


def _strategy(request: Request, target: Target) -> str:
    if request.strategy == "stratified" and target.task == "regression":
        raise ConfigurationError(
            "split_strategy='stratified' needs classes, and the label is a number: use 'hash'."
        )
    if request.strategy != "auto":
        return request.strategy
    if request.time_column:
        return "time"
    if request.group_column:
        return "group"
    return "hash" if target.task == "regression" else "stratified"


def _assign(
    table: pa.Table, request: Request, target: Target, strategy: str, hashes: np.ndarray
) -> np.ndarray:
    shares = (request.validation_fraction, request.test_fraction)
    if strategy == "time":
        return by_time(table.column(request.time_column), request.time_column, *shares)
    if strategy == "group":
        return by_group(table.column(request.group_column), *shares)
    if strategy == "stratified":
        return by_class(hashes, table.column(request.label), target, *shares)
    return by_hash(hashes, *shares)


def _check_parts(labels: pa.ChunkedArray, target: Target, parts: np.ndarray, strategy: str) -> None:
    for part, name in enumerate(NAMES):
        if not (parts == part).any():
            raise DataError(
                f"The {name} split has no row: {len(parts):,} rows are too few for "
                f"split_strategy='{strategy}' with these fractions. Bring more rows, or larger "
                "fractions."
            )
    if target.task == "regression":
        return
    trained = np.bincount(target.encode(labels)[parts == TRAIN], minlength=len(target.classes))
    absent = [target.classes[code] for code in np.flatnonzero(trained == 0)]
    if absent:
        raise DataError(
            f"Class '{absent[0]}' of the label has no row in the training split (by {strategy}). "
            "Use split_strategy='stratified', or bring more rows of it."
        )


def _write(table: pa.Table, rows: np.ndarray, path: Path) -> TableSummary:
    with TableWriter(path, table.schema) as writer:
        for start in range(0, table.num_rows, ROW_GROUP):
            chosen = pa.array(rows[start : start + ROW_GROUP])
            writer.write(table.slice(start, ROW_GROUP).filter(chosen))
    assert writer.summary is not None
    return writer.summary


def _write_page(
    path: Path,
    table: pa.Table,
    request: Request,
    target: Target,
    strategy: str,
    parts: np.ndarray,
    found: Decision,
) -> None:
    failures = found.failures
    lead = (
        failures[0].sentence
        if failures
        else f"{len(parts):,} rows were split by {strategy}; no column gives the label away."
    )
    report = Report(f"Split and leakage of '{request.label}'", lead, found.verdict)
    report.add_decision(found)
    sizes = np.bincount(parts, minlength=3)
    share = [f"{size / len(parts):.1%}" for size in sizes]
    report.add_table(
        "Sizes",
        ["split", "rows", "share"],
        [list(row) for row in zip(NAMES, sizes, share, strict=True)],
    )
    if target.task != "regression":
        codes = target.encode(table.column(request.label))
        counts = counts_by_part(parts, codes, len(target.classes))
        rows = [
            [
                str(value),
                *(f"{counts[name][code] / max(sizes[p], 1):.2%}" for p, name in enumerate(NAMES)),
            ]
            for code, value in enumerate(target.classes)
        ]
        report.add_table("Share of each class", ["class", *NAMES], rows)
    report.save(path)
