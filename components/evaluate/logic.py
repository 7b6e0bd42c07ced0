"""Evaluate a model on the test rows, which nothing before has read."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipway.components.evaluate.curves import calibration_table, confusion, roc_points
from shipway.components.evaluate.page import write_page
from shipway.components.evaluate.slices import choose_slices, measure_slices
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.held_out import HeldOut, score_held_out
from shipway.components.lib.metrics import (
    LEVEL,
    MAIN_METRIC,
    bootstrap_intervals,
    compute_metrics,
    constant_prediction,
    paired_difference,
)
from shipway.components.lib.model_package import ModelPackage, load_package

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """What the Kubeflow artifacts take: finite floats, and curves as ready lists.

    Attributes:
        metrics: values by name, with `_low` and `_high` of the main metric.
        metadata: flat metadata of the evaluation artifact.
        confusion: class names and a square matrix, rows the true class; empty for a regression.
        roc: false positive rates, true positive rates, thresholds; empty unless binary.
    """

    metrics: dict[str, float]
    metadata: dict[str, str | float]
    confusion: tuple[list[str], list[list[int]]] = field(default_factory=lambda: ([], []))
    roc: tuple[list[float], list[float], list[float]] = field(default_factory=lambda: ([], [], []))


def evaluate(
    model: Path, test: Path, evaluation: Path, report: Path, slice_columns: Sequence[str] = ()
) -> Evaluated:
    """Score the test rows once and write what they say about the model.

    Args:
        model: directory of a model package.
        test: Dataset directory of the test rows.
        evaluation: JSON file to write: metrics with intervals, gain over a constant, slices,
            baselines, calibration, confusion and the digest of the model.
        report: HTML page to write.
        slice_columns: columns whose values are measured one by one; empty chooses some.

    Raises:
        ModelPackageError: the package is damaged or of another version.
        DataError: the test table does not fit the model.
        ConfigurationError: a slice column is not in the test table.
    """
    package = load_package(model)
    slices = choose_slices(test, package.signature.label, slice_columns)
    held = score_held_out(package, test)
    constant = constant_prediction(held.target, held.y)
    document = _measured(package, held)
    document["baselines"] = {"constant": compute_metrics(held.target, held.y, constant)}
    main = document["main_metric"]
    gain = paired_difference(held.target, held.y, held.prediction, constant, main)
    document["gain"] = gain and {"value": gain.value, "low": gain.low, "high": gain.high}
    document["slices"] = measure_slices(slices, held, constant)
    names, matrix = confusion(held)
    document["confusion"] = {"classes": names, "matrix": matrix}
    document["calibration"] = calibration_table(held)
    document["roc"] = _roc(held)
    write_page(report, document, held)
    write_json_aside(evaluation, document)
    _log(document)
    return _for_kubeflow(document)


def _measured(package: ModelPackage, held: HeldOut) -> dict[str, Any]:
    signature = package.signature
    values = compute_metrics(held.target, held.y, held.prediction)
    intervals = bootstrap_intervals(held.target, held.y, held.prediction)
    metrics = {}
    for name, value in values.items():
        low, high = intervals.get(name, (None, None))
        metrics[name] = {"value": value, "low": low, "high": high}
    return {
        "digest": package.digest,
        "model_name": signature.name,
        "task": signature.task,
        "label": signature.label,
        "classes": list(signature.classes),
        "positive_class": signature.positive_class,
        "threshold": signature.threshold,
        "rows": len(held.y),
        "class_counts": {
            str(name): int((held.y == code).sum()) for code, name in enumerate(signature.classes)
        },
        "unseen_classes": held.unseen,
        "main_metric": MAIN_METRIC[signature.task],
        "level": LEVEL,
        "metrics": metrics,
    }


def _roc(held: HeldOut) -> list[list[float]]:
    if held.target.task != "binary" or held.prediction.probabilities is None:
        return []
    return [list(point) for point in roc_points(held.y, held.prediction.probabilities[:, 1])]


def _for_kubeflow(document: dict[str, Any]) -> Evaluated:
    main = document["main_metric"]
    metrics = {name: metric["value"] for name, metric in document["metrics"].items()}
    ends = document["metrics"].get(main, {})
    for end in ("low", "high"):
        if ends.get(end) is not None:
            metrics[f"{main}_{end}"] = ends[end]
    metadata: dict[str, str | float] = {
        "task": document["task"],
        "main_metric": main,
        "rows": float(document["rows"]),
        "digest": document["digest"],
    }
    if main in document["metrics"]:
        metadata[main] = ends["value"]
    matrix = document["confusion"]
    columns = [[point[axis] for point in document["roc"]] for axis in range(3)]
    return Evaluated(
        metrics,
        metadata,
        (matrix["classes"], matrix["matrix"]),
        (columns[0], columns[1], columns[2]),
    )


def _log(document: dict[str, Any]) -> None:
    values = ", ".join(f"{name} {m['value']:.4g}" for name, m in document["metrics"].items())
    logger.info(
        "%s test rows, %s slices: %s.", f"{document['rows']:,}", len(document["slices"]), values
    )
    if document["unseen_classes"]:
        logger.warning("Classes that training never saw: %s.", document["unseen_classes"])
