"""The KFP face of the explain step."""

from typing import List

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from shipway.components.lib.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def explain_model(
    model: Input[Model],
    test: Input[Dataset],
    explanation: Output[Artifact],
    report: Output[HTML],
    slice_columns: List[str] = [],
    seed: int = 0,
) -> None:
    """Explain a model by exact TreeSHAP: in all, by slice, by value, and in pairs of columns.

    Args:
        model: Model package.
        test: Test rows; a bounded sample of them is explained.
        explanation: Every figure as JSON.
        report: What moves the answers, on one page.
        slice_columns: Columns whose values are explained one by one; empty chooses some.
        seed: Draws the sample.
    """
    from pathlib import Path

    from shipway.components.explain.logic import explain

    paths = Path(model.path), Path(test.path), Path(explanation.path), Path(report.path)
    explanation.metadata.update(explain(*paths, slice_columns, seed))
