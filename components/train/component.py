"""The KFP face of training."""

from typing import Dict, List

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from shipway.components.lib.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def train_model(
    train: Input[Dataset],
    validation: Input[Dataset],
    plan: Input[Artifact],
    model: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
    model_name: str,
    parameters: Dict[str, float] = {},
    objective: str = "auto",
    device: str = "cpu",
    workers: int = 1,
    monotone_constraints: Dict[str, float] = {},
    interaction_constraints: List[List[str]] = [],
    threshold_rule: str = "f1",
    quality: str = "standard",
    time_column: str = "",
    seed: int = 0,
):
    """Train XGBoost with early stopping; choose calibration and threshold on validation rows.

    Args:
        train: Training rows.
        validation: Rows that choose rounds, calibration and threshold, and then teach, too.
        plan: Feature plan fitted on the training rows.
        model_name: Name of the model.
        parameters: XGBoost parameters by name; empty takes the defaults.
        objective: auto; of a regression squared, absolute, quantile, poisson, tweedie or gamma.
        device: cpu, cuda or auto.
        workers: Pods, or processes on one machine, that train together; each holds a share.
        monotone_constraints: 1 or -1 by column: predictions may only rise or fall with it.
        interaction_constraints: Groups of columns that may act together.
        threshold_rule: f1, cost=FP:FN, precision>=P, recall>=R or share<=S; binary only.
        quality: fast (larger steps), standard, or best (a bag of folds, merged into one model).
        time_column: Column that orders rows in time; empty where order does not matter.
        seed: Seed of everything that draws.

    Returns:
        model: Model package, a directory.
        metrics: Validation metrics.
        report: Learning curves, calibration and importance.
    """
    from pathlib import Path

    from shipway.components.train.logic import train as run
    from shipway.components.train.request import Request

    rules = monotone_constraints, interaction_constraints, threshold_rule, quality, time_column
    artifacts = {"train": train, "validation": validation, "plan": plan, "model": model}
    uris = {name: artifact.uri for name, artifact in artifacts.items()}
    request = Request(model_name, parameters, seed, objective, device, *rules, workers, uris)
    tables = Path(train.path), Path(validation.path), Path(plan.path)
    result = run(*tables, Path(model.path), Path(report.path), request)
    model.framework = "xgboost"
    model.metadata.update(result.metadata)
    for name, value in result.metrics.items():
        metrics.log_metric(name, value)
