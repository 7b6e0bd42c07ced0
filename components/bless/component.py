"""The KFP face of the bless step."""

from typing import Dict

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from shipway.components.lib.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def bless_model(
    evaluation: Input[Artifact],
    model: Input[Model],
    test: Input[Dataset],
    decision: Output[Artifact],
    report: Output[HTML],
    model_name: str,
    model_store: str = "",
    minimum_metrics: Dict[str, float] = {},
    maximum_metrics: Dict[str, float] = {},
    gates_uri: str = "",
) -> str:
    """Decide whether a model may be registered: by bounds, and against the champion.

    Args:
        evaluation: Evaluation of this model on these test rows.
        model: Model package.
        test: Test rows; the champion is scored on them too.
        decision: The rules and how they came out, JSON.
        report: The rules, and candidate and champion side by side.
        model_name: Name of the model in the store.
        model_store: Directory or gs:// prefix of the model store; empty compares with nothing.
        minimum_metrics: Inclusive lower bounds by metric; without any, better than a constant.
        maximum_metrics: Inclusive upper bounds by metric.
        gates_uri: File of gate rules and overrides (gates.yaml), or its text.

    Returns:
        "blessed" or "rejected".
    """
    from pathlib import Path

    from shipway.components.bless.logic import bless

    verdict = bless(
        evaluation=Path(evaluation.path),
        model=Path(model.path),
        test=Path(test.path),
        decision=Path(decision.path),
        report=Path(report.path),
        model_name=model_name,
        model_store=model_store,
        minimum_metrics=minimum_metrics,
        maximum_metrics=maximum_metrics,
        gates_uri=gates_uri,
    )
    decision.metadata["verdict"] = verdict
    return verdict
