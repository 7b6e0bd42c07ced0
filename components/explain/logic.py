"""Explain a model: exact TreeSHAP on a bounded sample of the test rows, in raw columns."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shipway.components.explain.dependence import dependence, without_values
from shipway.components.explain.page import write_page
from shipway.components.explain.summary import summary
from shipway.components.lib.contributions import (
    by_column,
    column_interactions,
    column_sums,
    feature_shares,
)
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.model_package import BOOSTER, ModelPackage, load_package
from shipway.components.lib.private import private_columns
from shipway.components.lib.response import Response
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.slices import choose_slices
from shipway.components.lib.tables import read_table

logger = logging.getLogger(__name__)

# TreeSHAP costs about a microsecond for every 300 bytes of trees and row; these keep the default
# run to a few seconds, whatever the model, and do not depend on the machine.
BYTES_OF_ROWS = 150_000_000
BYTES_OF_PAIRS = 100_000_000
MIN_ROWS, MAX_ROWS = 100, 2_000
MIN_PAIR_ROWS, MAX_PAIR_ROWS = 6, 200
MIN_SLICE_ROWS = 20
TOP_COLUMNS = 3
TOP_PAIRS = 10
MAX_PAIR_FEATURES = 300


@dataclass(frozen=True)
class Explained:
    """Contributions of the sampled rows.

    Attributes:
        rows: their numbers in the test table.
        table: their raw cells.
        columns: float64 of shape (n, classes or 1, columns).
        base: float64 of shape (n, classes or 1).
        names: of the columns.
    """

    rows: np.ndarray
    table: pa.Table
    columns: np.ndarray
    base: np.ndarray
    names: list[str]


def explain(
    model: Path,
    test: Path,
    explanation: Path,
    report: Path,
    slice_columns: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, str | float]:
    """Explain a model and write what moves its answers.

    Args:
        model: directory of a model package.
        test: Dataset directory of the test rows.
        explanation: JSON file to write.
        report: HTML page to write.
        slice_columns: columns whose values are explained one by one; empty chooses some.
        seed: draws the sample.

    Returns:
        Flat metadata of the artifact.

    Raises:
        ModelPackageError: the package is damaged or of another version.
        DataError: the table does not fit the model.
        ConfigurationError: a slice column is not in the test table.
    """
    package = load_package(model)
    slices = choose_slices(test, package.signature.label, slice_columns)
    scorer = Scorer(package.booster, package.signature)
    found, matrix = _contributions(package, scorer, test, seed)
    size = np.abs(found.columns).mean(axis=(0, 1))
    total = float(size.sum()) or 1.0
    order = np.argsort(-size, kind="stable")
    document: dict[str, Any] = {
        "digest": package.digest,
        "model_name": package.signature.name,
        "task": package.signature.task,
        "label": package.signature.label,
        "link": Response.from_json(package.signature.response).link,
        "positive_class": package.signature.positive_class,
        "rows": len(found.rows),
        "base": float(found.base.mean()),
        "columns": [
            {"column": found.names[i], "mean": float(size[i]), "share": float(size[i]) / total}
            for i in order
        ],
        "slices": [
            _slice(part.name, part.rows[found.rows], found, size)
            for part in slices
            if part.rows[found.rows].sum() >= MIN_SLICE_ROWS
        ],
        "dependence": [_dependence(found, int(i)) for i in order[:TOP_COLUMNS] if size[i] > 0],
        "interactions": _interactions(package, scorer, matrix),
    }
    document["summary"] = summary(document)
    write_page(report, document)
    write_json_aside(explanation, document)
    logger.info("explained %d rows; %s", len(found.rows), " ".join(document["summary"][:1]))
    first = document["columns"][0]
    return {"digest": package.digest, "rows": float(len(found.rows)), "first": first["column"]}


def _contributions(
    package: ModelPackage, scorer: Scorer, test: Path, seed: int
) -> tuple[Explained, np.ndarray]:
    names = [column.name for column in scorer.plan.columns]
    table = read_table(test, names)
    weight = package.manifest["files"][BOOSTER]["bytes"]
    count = int(np.clip(BYTES_OF_ROWS // weight, MIN_ROWS, MAX_ROWS))
    rows = np.sort(np.random.default_rng(seed).permutation(table.num_rows)[:count])
    table = table.take(pa.array(rows))
    matrix = scorer.plan.transform(table)
    shares = _answering(package, feature_shares(package.booster, matrix, 0))
    if shares.ndim == 2:
        shares = shares[:, None, :]
    columns, base = by_column(shares, column_sums(scorer.plan))
    return Explained(rows, table, columns, base, names), matrix


def _answering(package: ModelPackage, values: np.ndarray) -> np.ndarray:
    """Of a value with an interval what is said of its median, as the endpoint explains it."""
    levels = Response.from_json(package.signature.response).levels
    return values[:, levels.index(0.5)] if levels else values


def _slice(name: str, rows: np.ndarray, found: Explained, size: np.ndarray) -> dict[str, Any]:
    """What moves the answers of a slice: the columns whose share differs most from that in all."""
    mine = np.abs(found.columns[rows]).mean(axis=(0, 1))
    shares, overall = mine / (mine.sum() or 1.0), size / (size.sum() or 1.0)
    top = [int(i) for i in np.argsort(-mine, kind="stable")[:3]]
    most = int(np.abs(shares - overall).argmax())
    return {
        "slice": name,
        "n": int(rows.sum()),
        "top": [{"column": found.names[i], "share": float(shares[i])} for i in top],
        "differs": {
            "column": found.names[most],
            "share": float(shares[most]),
            "overall": float(overall[most]),
        },
        "mean": float(found.columns[rows, -1].sum(axis=-1).mean()),
    }


def _dependence(found: Explained, index: int) -> dict[str, Any]:
    # Of several classes the last one, as everywhere where one must stand for all.
    name = found.names[index]
    shape = dependence(name, found.table.column(name), found.columns[:, -1, index])
    return without_values(shape) if name in private_columns(found.table.schema) else shape


def _interactions(package: ModelPackage, scorer: Scorer, matrix: np.ndarray) -> dict[str, Any]:
    """The pairs of columns that do most together, on a small sample: it is the costliest part."""
    plan = scorer.plan
    width, names = len(plan.feature_names), [column.name for column in plan.columns]
    if width > MAX_PAIR_FEATURES or len(names) < 2:
        return {"rows": 0, "pairs": []}
    weight = package.manifest["files"][BOOSTER]["bytes"] * width * 2
    count = int(np.clip(BYTES_OF_PAIRS // weight, MIN_PAIR_ROWS, MAX_PAIR_ROWS))
    some = matrix[:: max(1, len(matrix) // count)][:count]
    values = _answering(package, column_interactions(package.booster, some, column_sums(plan)))
    strength = np.abs(values).mean(axis=tuple(range(values.ndim - 2)))
    alone = float(np.trace(strength))
    firsts, seconds = np.triu_indices(len(names), 1)
    together = 2 * strength[firsts, seconds]
    order = np.argsort(-together, kind="stable")[:TOP_PAIRS]
    total = alone + float(together.sum())
    return {
        "rows": len(some),
        "share": 1 - alone / total if total else 0.0,
        "pairs": [
            {"columns": [names[firsts[i]], names[seconds[i]]], "mean": float(together[i])}
            for i in order
        ],
    }
