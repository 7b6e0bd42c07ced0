"""The KFP face of the probe step."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model, Output

from shipway.components.lib.images import SERVE


@dsl.component(base_image=SERVE, install_kfp_package=False)
def probe_endpoint(
    serving_record: Input[Artifact],
    model: Input[Model],
    decision: Output[Artifact],
    report: Output[HTML],
    maximum_latency_ms: float = 0.0,
) -> str:
    """Replay a model's golden rows at its endpoint: identity, parity, refusals and latency.

    Args:
        serving_record: Where the candidate answers, from the deploy step.
        model: The model package that should answer.
        decision: Rules and verdict as JSON.
        report: Page with the rules, the latency and the golden rows.
        maximum_latency_ms: Bound on the 95th percentile of single-row requests in milliseconds;
            0 reports it only.

    Returns:
        The verdict, 'pass' or 'fail'.
    """
    from pathlib import Path

    from shipway.components.probe.logic import probe

    verdict, figures = probe(
        Path(serving_record.path),
        Path(model.path),
        Path(decision.path),
        Path(report.path),
        maximum_latency_ms,
    )
    decision.metadata.update(verdict=verdict, **figures)
    return verdict
