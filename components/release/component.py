"""The KFP face of release."""

from typing import List

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from shipway.components.lib.images import SERVE


@dsl.component(base_image=SERVE, install_kfp_package=False)
def release_model(
    serving_record: Input[Artifact],
    probe_decision: Input[Artifact],
    decision: Output[Artifact],
    report: Output[HTML],
    model_name: str,
    model_store: str,
    traffic_steps: List[int] = [100],
    bake_seconds: float = 0.0,
    maximum_error_rate: float = 0.0,
    maximum_latency_ms: float = 0.0,
) -> str:
    """Let a proven candidate take over step by step; otherwise leave what serves as it was.

    Args:
        serving_record: Where the candidate answers.
        probe_decision: What the probe found.
        model_name: Name of the model.
        model_store: Directory, or gs:// or s3:// prefix of the store.
        traffic_steps: Shares of the traffic in percent, rising to 100.
        bake_seconds: How long the candidate is watched at each step.
        maximum_error_rate: Share of the watch's requests that may fail.
        maximum_latency_ms: Bound on the 95th percentile of the watch's requests; 0 for none.

    Returns:
        decision: What was done and why, JSON.
        report: The same as a page.
        Output: promoted or rolled_back.
    """
    from pathlib import Path

    from shipway.components.lib.release_policy import ReleasePolicy, traffic_steps_of
    from shipway.components.release.logic import release

    steps = traffic_steps_of(traffic_steps)
    policy = ReleasePolicy(steps, bake_seconds, maximum_error_rate, maximum_latency_ms)
    given = Path(serving_record.path), Path(probe_decision.path)
    written = Path(decision.path), Path(report.path)
    return release(*given, *written, model_name, model_store, policy)
