"""The KFP face of drift detection."""

from typing import Dict, List

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from shipway.components.lib.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def detect_drift(
    baseline: Input[Dataset],
    current: Input[Dataset],
    decision: Output[Artifact],
    report: Output[HTML],
    drift_thresholds: Dict[str, float] = {},
    false_alarm_rate: float = 0.01,
    ignored_columns: List[str] = [],
    label: str = "",
    prediction: str = "",
) -> str:
    """Tell whether rows moved against a baseline: drift between spans, skew against serving.

    Args:
        baseline: Rows to compare with, such as the training rows; or a payload log.
        current: Rows to look at; or a payload log.
        drift_thresholds: Jensen-Shannon distance in 0..1 that fails, by column; 0.1 for others.
        false_alarm_rate: Share of runs that may raise an alarm where nothing moved.
        ignored_columns: Columns that are not compared.
        label: Column to predict; tells of label drift where both tables have it.
        prediction: Column of predictions; tells of prediction drift where both tables have it.

    Returns:
        decision: One rule a column and one for all together, JSON.
        report: Which columns moved, how far, and what to do.
        Output: pass or fail.
    """
    from pathlib import Path

    from shipway.components.monitor.logic import Request, detect

    columns = ignored_columns, label, prediction
    verdict = detect(
        Path(baseline.path),
        Path(current.path),
        Request(drift_thresholds, false_alarm_rate, *columns),
        Path(decision.path),
        Path(report.path),
    )
    decision.metadata["verdict"] = verdict
    return verdict
