"""The KFP face of deployment."""

from typing import List

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
    endpoint_port: int = 8080,
    namespace: str = "",
    deployment_mode: str = "",
    service_account: str = "",
    replicas: int = 1,
    traffic_steps: List[int] = [100],
) -> str:
    """Deploy a version beside what serves and wait until it is ready; it takes no traffic yet.

    Args:
        version: In the model store.
        model_name: Name of the model and of its endpoint.
        model_store: Directory or gs:// prefix of the store.
        serving_target: kserve, or local for a process on this machine.
        endpoint_port: Port of a local endpoint once it is released.
        namespace: Of the InferenceService; empty takes the pod's own.
        deployment_mode: Knative or Standard for a first deployment; empty takes the cluster's.
        service_account: Whose credentials read the model; empty takes the namespace's default.
        replicas: Servers at least.
        traffic_steps: Shares in percent that the release will ask for, refused here if it cannot.

    Returns:
        serving_record: Where the candidate answers, JSON.
        Output: URL of the candidate.
    """
    from pathlib import Path

    from shipway.components.deploy.kserve import KServeTarget
    from shipway.components.deploy.logic import deploy
    from shipway.components.lib.release_policy import traffic_steps_of

    steps = traffic_steps_of(traffic_steps)
    target = KServeTarget(namespace, deployment_mode, service_account, replicas, steps)
    record = deploy(version, model_name, model_store, serving_target, endpoint_port, target)
    record.save(Path(serving_record.path))
    return record.endpoint
