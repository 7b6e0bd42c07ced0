"""Splitting: the strategy, the three tables, the gate and its page.

Two passes over the rows: one to hash them, one to write them to their splits.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.labels import resolve_target
from shipway.components.lib.queries import check_query
from shipway.components.lib.tables import read_schema
from shipway.components.lib.task import Target
from shipway.components.split.assignment import (
    NAMES,
    TRAIN,
    by_class,
    by_group,
    by_hash,
    by_time,
)
from shipway.components.split.leakage import judge_split
from shipway.components.split.page import write_page
from shipway.components.split.queries import check_queries, query_strategy
from shipway.components.split.repeats import Repeats, find_repeats
from shipway.components.split.scan import Scan, encoded, read_labels, scan
from shipway.components.split.subject import Subject
from shipway.components.split.times import read_times
from shipway.components.split.writing import written

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
        task: auto, binary, multiclass, regression or ranking.
        accepted_leaks: columns that the gate may report but not stop for.
        key_columns: columns that together name what a row is about; no key is in training and test.
    """

    label: str
    strategy: str = "auto"
    time_column: str = ""
    group_column: str = ""
    validation_fraction: float = 0.15
    test_fraction: float = 0.2
    task: str = "auto"
    accepted_leaks: Sequence[str] = field(default_factory=list)
    key_columns: Sequence[str] = field(default_factory=list)


def split(
    dataset: Path,
    request: Request,
    paths: Mapping[str, Path],
    decision_path: Path,
    report_path: Path,
) -> tuple[str, dict[str, dict[str, str | float]]]:
    """Split a Dataset into `paths["train"]`, `["validation"]` and `["test"]`.

    Returns:
        The gate's verdict, and the metadata of each table.

    Raises:
        ConfigurationError: the request contradicts itself or the table.
        DataError: the rows cannot be split so.
    """
    _check(request, read_schema(dataset).names)
    check_query(request.task, request.group_column)
    target, y = _read_label(dataset, request)
    strategy = _strategy(request, target)
    # Rows of another time or group that are else the same are no news to a model.
    apart = {"time": request.time_column, "group": request.group_column}.get(strategy, "")
    if target.ranked:
        check_queries(dataset, request.group_column)
    seen = scan(dataset, request.label, apart, request.key_columns, request.group_column)
    repeats = find_repeats(seen.features)
    parts = _assign(dataset, request, target, strategy, seen, repeats, y)
    _check_parts(y, target, parts, strategy)
    with written(dataset, parts, paths) as (writers, training, held_out):
        subject = Subject(
            dataset, request.label, target, strategy, parts, y, seen, repeats, training.table,
            training.rows, held_out.table, request.time_column, request.group_column,
        )  # fmt: skip
        found = judge_split(subject, request.accepted_leaks)
        write_page(report_path, subject, found)
        found.decision.save(decision_path)
    verdict = found.decision.verdict
    summaries = {name: writer.summary for name, writer in writers.items() if writer.summary}
    rows = {name: summary.rows for name, summary in summaries.items()}
    _log.info("split by %s: %s; leakage gate: %s", strategy, rows, verdict)
    metadata = {
        name: {**summary.metadata(), "split_strategy": strategy}
        for name, summary in summaries.items()
    }
    return verdict, metadata


def _read_label(dataset: Path, request: Request) -> tuple[Target, np.ndarray]:
    labels = read_labels(dataset, request.label)
    target = resolve_target(labels, request.task)
    return target, encoded(labels, target)


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
    for parameter, chosen in (
        ("time_column", [request.time_column]),
        ("group_column", [request.group_column]),
        ("key_columns", request.key_columns),
    ):
        if request.label in chosen:
            raise ConfigurationError(
                f"{parameter} names '{request.label}', which is the label. Choose another column."
            )
    for parameter in ("accepted_leaks", "key_columns"):
        for name in getattr(request, parameter):
            if name not in names:
                raise ConfigurationError(
                    f"{parameter} names '{name}', which is no column.{nearest(name, names)}"
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
    if target.ranked:
        return query_strategy(request.strategy)
    if request.strategy == "stratified" and target.kind.numeric:
        raise ConfigurationError(
            "split_strategy='stratified' needs classes, and the label is a number: use 'hash'."
        )
    if request.strategy != "auto":
        return request.strategy
    if request.time_column:
        return "time"
    if request.group_column:
        return "group"
    return "hash" if target.kind.numeric else "stratified"


def _assign(
    dataset: Path,
    request: Request,
    target: Target,
    strategy: str,
    seen: Scan,
    repeats: Repeats,
    y: np.ndarray,
) -> np.ndarray:
    shares = (request.validation_fraction, request.test_fraction)
    if strategy == "time":
        times = read_times(dataset, request.time_column)
        return by_time(times, request.time_column, *shares)
    if strategy == "group":
        return by_group(seen.groups, request.group_column, *shares)
    if strategy == "stratified":
        return by_class(seen.hashes, y, repeats, target, *shares)
    return by_hash(seen.hashes, *shares)


def _check_parts(y: np.ndarray, target: Target, parts: np.ndarray, strategy: str) -> None:
    for part, name in enumerate(NAMES):
        if not (parts == part).any():
            raise DataError(
                f"The {name} split has no row: {len(parts):,} rows are too few for "
                f"split_strategy='{strategy}' with these fractions. Bring more rows, or larger "
                "fractions."
            )
    if target.kind.numeric:
        return
    trained = np.bincount(y[parts == TRAIN], minlength=len(target.classes))
    absent = [target.classes[code] for code in np.flatnonzero(trained == 0)]
    if absent:
        raise DataError(
            f"Class '{absent[0]}' of the label has no row in the training split (by {strategy}). "
            "Use split_strategy='stratified', or bring more rows of it."
        )
