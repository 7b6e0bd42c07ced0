"""The KFP face of release."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from shipway.components.lib.images import SERVE


@dsl.component(base_image=SERVE, install_kfp_package=False)
def release_model(
    serving_record: Input[Artifact],
    probe_decision: Input[Artifact],
    decision: Output[Artifact],
    model_name: str,
    model_store: str,
) -> str:
    """Promote the candidate when its probe passed; otherwise leave what serves as it was.

    Args:
        serving_record: Where the candidate answers.
        probe_decision: What the probe found.
        model_name: Name of the model.
        model_store: Directory or gs:// prefix of the store.

    Returns:
        decision: What was done and why, JSON.
        Output: promoted or rolled_back.
    """
    from pathlib import Path

    from shipway.components.release.logic import release

    paths = Path(serving_record.path), Path(probe_decision.path), Path(decision.path)
    return release(*paths, model_name, model_store)
