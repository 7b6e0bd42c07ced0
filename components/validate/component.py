"""The KFP face of the validate step."""

from typing import Dict, List

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from shipway.components.lib.images import DATA


@dsl.component(base_image=DATA, install_kfp_package=False)
def validate_table(
    dataset: Input[Dataset],
    label: str,
    statistics: Output[Artifact],
    schema: Output[Artifact],
    decision: Output[Artifact],
    report: Output[HTML],
    schema_uri: str = "",
    allowed_anomalies: List[str] = [],
    anomaly_severity: Dict[str, str] = {},
    slice_columns: List[str] = [],
    sample_rows: int = 0,
    beam_pipeline_args: List[str] = [],
    task: str = "auto",
) -> str:
    """Measure a table with TFDV, hold it to a schema and to rules, and decide.

    Args:
        dataset: The table.
        label: The column to predict.
        statistics: TFDV's DatasetFeatureStatisticsList, binary; slices are further datasets.
        schema: The schema as a text proto, given or inferred.
        decision: The rules and how they came out, JSON.
        report: One row for each column, and the findings.
        schema_uri: A reviewed schema to hold the table to; empty to infer one.
        allowed_anomalies: Findings that may stand, COLUMN:KIND or COLUMN:*.
        anomaly_severity: stop, warn or ignore by kind of finding.
        slice_columns: Columns whose most frequent values are measured one by one.
        sample_rows: Rows to measure at most; 0 measures all.
        beam_pipeline_args: Apache Beam's, with --runner=...; empty streams without Beam.
        task: auto, binary, multiclass, regression or ranking.

    Returns:
        "pass" or "fail".
    """
    from pathlib import Path

    from shipway.components.validate.logic import Outputs, Settings, validate

    paths = (statistics.path, schema.path, decision.path, report.path)
    settings = Settings(
        schema_uri, allowed_anomalies, anomaly_severity, slice_columns, sample_rows,
        beam_pipeline_args, dataset.uri, statistics.uri + ".beam", task,
    )  # fmt: skip
    result = validate(Path(dataset.path), label, Outputs(*map(Path, paths)), settings)
    decision.metadata.update(verdict=result.verdict, failures=float(len(result.failures)))
    decision.metadata["warnings"] = float(len(result.warnings))
    return result.verdict
