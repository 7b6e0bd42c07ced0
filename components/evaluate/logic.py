"""Evaluate a model on the test rows, which nothing before has read."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shipway.components.evaluate.baselines import described, fit_baselines
from shipway.components.evaluate.calibration import calibration_table, calibration_test
from shipway.components.evaluate.cost import cost
from shipway.components.evaluate.curves import confusion, roc_points
from shipway.components.evaluate.evaluated import Evaluated, evaluated
from shipway.components.evaluate.fairness import fairness
from shipway.components.evaluate.flips import smallest_flips
from shipway.components.evaluate.intervals import interval_view
from shipway.components.evaluate.learning import learning_curve
from shipway.components.evaluate.page import write_page
from shipway.components.evaluate.queries import as_shown, query_views
from shipway.components.evaluate.ranking import lift_table, threshold_table
from shipway.components.evaluate.regions import find_regions
from shipway.components.evaluate.residuals import residual_views
from shipway.components.evaluate.robustness import robustness
from shipway.components.evaluate.samples import Taught, taught_rows
from shipway.components.evaluate.stability import stability
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.held_out import HeldOut, score_held_out
from shipway.components.lib.metrics import (
    LEVEL,
    MAIN_METRIC,
    bootstrap_intervals,
    compute_metrics,
    constant_prediction,
    paired_differences,
)
from shipway.components.lib.model_package import ModelPackage, load_package
from shipway.components.lib.private import private_columns
from shipway.components.lib.queries import relevance_of
from shipway.components.lib.scoring import Prediction, Scorer
from shipway.components.lib.slices import choose_slices, measure_slices
from shipway.components.lib.tables import read_schema, read_table

logger = logging.getLogger(__name__)


def evaluate(
    model: Path,
    test: Path,
    evaluation: Path,
    report: Path,
    slice_columns: Sequence[str] = (),
    *,
    train: Path | None = None,
    validation: Path | None = None,
    protected_columns: Sequence[str] = (),
    time_column: str = "",
    seed: int = 0,
) -> Evaluated:
    """Score the test rows once and write what they say about the model.

    Args:
        model: directory of a model package.
        test: Dataset directory of the test rows.
        evaluation: JSON file to write: every figure that the page shows, and the model's digest.
        report: HTML page to write.
        slice_columns: columns whose values are measured one by one; empty chooses some.
        train: Dataset directory of the training rows, to fit baselines and a learning curve on;
            without it the constant is the only baseline.
        validation: Dataset directory of the validation rows; baselines and learning curve are
            fitted on them, too, where the model was.
        protected_columns: columns whose groups are held against each other.
        time_column: orders the rows in time, to see whether the model wears off.
        seed: of everything that draws.

    Raises:
        ModelPackageError: the package is damaged or of another version.
        DataError: a table does not fit the model.
        ConfigurationError: a column that was named is not in the test table.
    """
    package = load_package(model)
    label, used = package.signature.label, [f.name for f in package.signature.features]
    slices = choose_slices(test, label, slice_columns)
    held = score_held_out(package, test)
    scorer = Scorer(package.booster, package.signature)
    matrix = scorer.plan.transform(read_table(test, used))
    constant = constant_prediction(held.target, held.y)
    document = _measured(package, held)
    taught = None
    if train is not None:
        too = [validation] if validation is not None and package.manifest.get("refit") else []
        taught = taught_rows(scorer.plan, [train, *too], seed)
    document |= _compared(package, held, constant, matrix, taught, seed)
    document["slices"] = measure_slices(slices, held, constant)
    document["regions"] = _regions(test, label, held, constant, seed)
    shown = as_shown(held) if held.target.ranked else held
    document["fairness"] = fairness(test, label, protected_columns, shown, used)
    document["ranking"] = query_views(test, held)
    document["stability"] = stability(test, time_column, held)
    document["robustness"] = robustness(scorer, test, held, seed)
    known = matrix if taught is None else taught.matrix
    if not held.target.ranked:  # a score alone is no answer that could turn
        document["flips"] = smallest_flips(scorer, package.booster, known, matrix, held, seed)
    document["intervals"] = interval_view(held)
    private = private_columns(read_schema(test))
    document["residuals"] = residual_views(scorer.plan, matrix, held, private)
    document["cost"] = cost(package, scorer)
    document |= _curves(package, held)
    write_page(report, document, held)
    write_json_aside(evaluation, document)
    _log(document)
    return evaluated(document)


def _compared(
    package: ModelPackage,
    held: HeldOut,
    constant: Prediction,
    matrix: np.ndarray,
    taught: Taught | None,
    seed: int,
) -> dict[str, Any]:
    """The baselines, how much the model beats each of them, and the learning curve."""
    others, words, curve = {"constant": constant}, described({}, held.target.ranked), {}
    if taught is not None:
        plan = Scorer(package.booster, package.signature).plan
        fitted = fit_baselines(plan, taught.matrix, relevance_of(taught.y), matrix)
        others |= {name: each.prediction for name, each in fitted.items()}
        words = described(fitted, held.target.ranked)
        curve = learning_curve(package, taught.matrix, taught.y, matrix, held, seed)
    gains = paired_differences(held.target, held.y, held.prediction, others)
    told = {
        other: {
            name: {"value": gain.value, "low": gain.low, "high": gain.high}
            for name, gain in gains.get(other, {}).items()
        }
        for other in others
    }
    return {
        "baselines": {
            name: compute_metrics(held.target, held.y, each) for name, each in others.items()
        },
        "baseline_words": words,
        "taught_by": taught.splits if taught else "training",
        "gains": told,
        "gain": told["constant"].get(MAIN_METRIC[held.target.task]),
        "learning_curve": curve,
    }


def _regions(
    test: Path, label: str, held: HeldOut, constant: Prediction, seed: int
) -> dict[str, Any]:
    found = find_regions(test, label, held, seed)
    measured = measure_slices([region.part for region in found["regions"]], held, constant)
    pairs = zip(measured, found["regions"], strict=True)
    return {
        "proposed": found["proposed"],
        "found": [entry | {"evidence": region.evidence} for entry, region in pairs],
    }


def _curves(package: ModelPackage, held: HeldOut) -> dict[str, Any]:
    names, matrix = confusion(held)
    curves: dict[str, Any] = {
        "confusion": {"classes": names, "matrix": matrix},
        "calibration": calibration_table(held),
        "calibration_test": calibration_test(held),
        "roc": _roc(held),
        "lift": [],
        "thresholds": [],
    }
    if held.target.task == "binary" and held.prediction.probabilities is not None:
        known = held.y >= 0
        truth, score = held.y[known] == 1, held.prediction.probabilities[known, 1]
        curves["lift"] = lift_table(truth, score)
        curves["thresholds"] = threshold_table(truth, score, package.signature.threshold)
    return curves


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


def _log(document: dict[str, Any]) -> None:
    values = ", ".join(f"{name} {m['value']:.4g}" for name, m in document["metrics"].items())
    logger.info(
        "%s test rows, %s slices: %s.", f"{document['rows']:,}", len(document["slices"]), values
    )
    if document["unseen_classes"]:
        logger.warning("Classes that training never saw: %s.", document["unseen_classes"])
