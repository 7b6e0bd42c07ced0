"""The KFP face of the evaluate step."""

from typing import List

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from shipway.components.lib.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def evaluate_model(
    model: Input[Model],
    test: Input[Dataset],
    train: Input[Dataset],
    validation: Input[Dataset],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    classification: Output[ClassificationMetrics],
    report: Output[HTML],
    slice_columns: List[str] = [],
    protected_columns: List[str] = [],
    time_column: str = "",
    seed: int = 0,
) -> None:
    """Measure a model on the test rows: metrics with intervals, slices, baselines, curves.

    Args:
        model: Model package.
        test: Test rows, which nothing before has read.
        train: Training rows, for the baselines and the learning curve.
        validation: Validation rows, for the same where the model was trained on them, too.
        evaluation: JSON with every figure and the digest of the model.
        metrics: Value of each metric.
        classification: ROC curve and confusion matrix; empty for a regression.
        report: Whether the model can ship, on one page.
        slice_columns: Columns whose values are evaluated one by one; empty chooses some.
        protected_columns: Columns whose groups are held against each other for fairness.
        time_column: Column that orders the rows in time.
        seed: Seed of everything that draws.
    """
    from pathlib import Path

    from shipway.components.evaluate.logic import evaluate

    found = evaluate(
        model=Path(model.path),
        test=Path(test.path),
        evaluation=Path(evaluation.path),
        report=Path(report.path),
        slice_columns=slice_columns,
        train=Path(train.path),
        validation=Path(validation.path),
        protected_columns=protected_columns,
        time_column=time_column,
        seed=seed,
    )
    metrics.metadata.update(found.metrics)
    evaluation.metadata.update(found.metadata)
    if found.confusion[0]:
        classification.log_confusion_matrix(*found.confusion)
    if found.roc[0]:
        classification.log_roc_curve(*found.roc)
