"""Splitting: the strategy, the three tables, the leakage gate and its page."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.labels import resolve_target
from shipway.components.lib.tables import (
    TableSummary,
    TableWriter,
    read_batches,
    read_schema,
    read_table,
)
from shipway.components.lib.task import Target
from shipway.components.split.assignment import (
    NAMES,
    TRAIN,
    by_class,
    by_group,
    by_hash,
    by_time,
    row_hashes,
)
from shipway.components.split.leakage import find_leaks
from shipway.components.split.page import Outcome, write_page

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
    _check(request, read_schema(dataset).names)
    labels = read_table(dataset, [request.label]).column(request.label)
    target = resolve_target(labels, request.task)
    strategy = _strategy(request, target)
    hashes = _hashes(dataset, request.label)
    parts = _assign(dataset, request, target, strategy, hashes, labels)
    _check_parts(labels, target, parts, strategy)
    # Rows of another time or group that are else the same are no news to a model.
    apart = {"time": request.time_column, "group": request.group_column}.get(strategy)
    features = _hashes(dataset, request.label, apart) if apart else hashes
    found = find_leaks(
        dataset,
        request.label,
        target,
        parts,
        features,
        request.accepted_leaks,
        request.group_column,
    )
    summaries = _write(dataset, parts, paths)
    outcome = Outcome(request.label, target, strategy, parts, labels)
    write_page(report_path, outcome, found, _periods(dataset, request, strategy, parts))
    found.save(decision_path)
    rows = {name: summary.rows for name, summary in summaries.items()}
    _log.info("split by %s: %s; leakage gate: %s", strategy, rows, found.verdict)
    metadata = {
        name: {**summary.metadata(), "split_strategy": strategy}
        for name, summary in summaries.items()
    }
    return found.verdict, metadata


def _hashes(dataset: Path, *but: str) -> np.ndarray:
    batches = read_batches(dataset)
    return np.concatenate([row_hashes(pa.Table.from_batches([b]), *but) for b in batches])


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
    dataset: Path,
    request: Request,
    target: Target,
    strategy: str,
    hashes: np.ndarray,
    labels: pa.ChunkedArray,
) -> np.ndarray:
    shares = (request.validation_fraction, request.test_fraction)
    if strategy in ("time", "group"):
        name = request.time_column if strategy == "time" else request.group_column
        column = read_table(dataset, [name]).column(name)
        return (by_time if strategy == "time" else by_group)(column, name, *shares)
    if strategy == "stratified":
        return by_class(hashes, labels, target, *shares)
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


def _write(dataset: Path, parts: np.ndarray, paths: Mapping[str, Path]) -> dict[str, TableSummary]:
    """Stream the rows to their splits: all three are whole, or none is there."""
    schema = read_schema(dataset)
    writers = {name: TableWriter(paths[name], schema) for name in NAMES}
    start = 0
    with ExitStack() as stack:
        for writer in writers.values():
            stack.enter_context(writer)
        for batch in read_batches(dataset):
            mine = parts[start : start + batch.num_rows]
            start += batch.num_rows
            for part, name in enumerate(NAMES):
                writers[name].write(batch.filter(pa.array(mine == part)))
    return {name: writer.summary for name, writer in writers.items() if writer.summary}


def _periods(
    dataset: Path, request: Request, strategy: str, parts: np.ndarray
) -> list[list[object]]:
    """First and last time of each split by time."""
    if strategy != "time":
        return []
    column = read_table(dataset, [request.time_column]).column(request.time_column)
    bounds = [pc.min_max(column.filter(pa.array(parts == part))) for part in range(len(NAMES))]
    return [
        [name, str(one["min"]), str(one["max"])] for name, one in zip(NAMES, bounds, strict=True)
    ]
