"""The KFP face of deployment."""

from kfp import dsl
from kfp.dsl import Artifact, Output

from shipway.components.lib.images import SERVE


@dsl.component(base_image=SERVE, install_kfp_package=False)
def deploy_model(
    version: str,
    model_name: str,
    model_store: str,
    serving_record: Output[Artifact],
    serving_target: str = "kserve",
    namespace: str = "",
    endpoint_port: int = 8080,
) -> str:
    """Deploy a version and wait until it is ready.

    Args:
        version: In the model store.
        model_name: Name of the model and of its endpoint.
        model_store: Directory or gs:// prefix of the store.
        serving_target: kserve, or local for a process on this machine.
        namespace: Of the InferenceService; empty takes the pod's own.
        endpoint_port: Port of a local endpoint once it is released.

    Returns:
        serving_record: Where the candidate answers, JSON.
        Output: URL of the candidate.
    """
    from pathlib import Path

    from shipway.components.deploy.logic import deploy

    target = serving_target, namespace, endpoint_port
    record = deploy(version, model_name, model_store, *target)
    record.save(Path(serving_record.path))
    return record.endpoint
