"""The KFP face of the validate step."""

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
) -> str:
    """Measure a table with TFDV, hold it to a schema and to rules, and decide.

    Args:
        dataset: The table.
        label: The column to predict.
        statistics: TFDV's DatasetFeatureStatisticsList, binary.
        schema: The schema as a text proto, given or inferred.
        decision: The rules and how they came out, JSON.
        report: One row for each column, and the findings.
        schema_uri: A reviewed schema to hold the table to; empty to infer one.

    Returns:
        "pass" or "fail".
    """
    from pathlib import Path

    from shipway.components.validate.logic import Outputs, validate

    outputs = Outputs(
        Path(statistics.path), Path(schema.path), Path(decision.path), Path(report.path)
    )
    result = validate(Path(dataset.path), label, outputs, schema_uri)
    decision.metadata.update(verdict=result.verdict, failures=float(len(result.failures)))
    decision.metadata["warnings"] = float(len(result.warnings))
    return result.verdict
