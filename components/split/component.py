"""The KFP face of splitting."""

from typing import List

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from shipway.components.lib.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def split_table(
    dataset: Input[Dataset],
    label: str,
    train: Output[Dataset],
    validation: Output[Dataset],
    test: Output[Dataset],
    decision: Output[Artifact],
    report: Output[HTML],
    split_strategy: str = "auto",
    time_column: str = "",
    group_column: str = "",
    validation_fraction: float = 0.15,
    test_fraction: float = 0.2,
    task: str = "auto",
    accepted_leaks: List[str] = [],
    key_columns: List[str] = [],
) -> str:
    """Split rows into training, validation and test; stop for a leak.

    Args:
        dataset: The table.
        label: Column to predict.
        split_strategy: auto, hash, stratified, time or group.
        time_column: Column that orders the rows in time.
        group_column: Column whose values never straddle splits.
        validation_fraction: Share of rows for validation.
        test_fraction: Share of rows for the test.
        task: auto, binary, multiclass, regression or ranking (by group_column).
        accepted_leaks: Columns that the leakage gate may report but not stop for.
        key_columns: Columns that together name a row; none may stand in training and in the test.

    Returns:
        decision: Leakage decision, JSON.
        report: Sizes, shares of classes, and what was found.
        Output: pass or fail.
    """
    from pathlib import Path

    from shipway.components.split.logic import Request, split

    columns = time_column, group_column, validation_fraction, test_fraction, task, accepted_leaks
    parts = {"train": train, "validation": validation, "test": test}
    paths = {name: Path(part.path) for name, part in parts.items()}
    request = Request(label, split_strategy, *columns, key_columns)
    verdict, summaries = split(
        Path(dataset.path), request, paths, Path(decision.path), Path(report.path)
    )
    for name, part in parts.items():
        part.metadata.update(summaries[name])
    return verdict
