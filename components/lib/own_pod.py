"""What the pods that a step starts take over from the step's own pod."""

import os
from typing import Any

from shipway.components.lib.cluster import Cluster
from shipway.components.lib.errors import EndpointError

MAIN = "main"  # Argo's name of the step's container
PASSED = ("AWS_", "GOOGLE_", "STORAGE_EMULATOR_", "OMP_")

Object = dict[str, Any]


def on_cluster() -> bool:
    """Whether this is a pod of Kubeflow Pipelines."""
    return "KFP_POD_NAME" in os.environ


def own_pod(cluster: Cluster) -> Object:
    """The pod that this step runs in.

    Raises:
        EndpointError: it is not there.
    """
    name = os.environ["KFP_POD_NAME"]
    pod = cluster.get("Pod", name)
    if pod is None:
        raise EndpointError(f"The step's own pod '{name}' is not in '{cluster.namespace}'.")
    return pod


def main_container(pod: Object) -> Object:
    """The container of a step's pod that runs the step."""
    return next(one for one in pod["spec"]["containers"] if one["name"] == MAIN)


def credentials_of(main: Object) -> list[Object]:
    """Those of its environment that tell how storage is reached."""
    return [one for one in main.get("env", []) if one["name"].startswith(PASSED)]


def owned_by(pod: Object) -> list[Object]:
    """Owner references by which the cluster removes an object with a pod."""
    metadata = pod["metadata"]
    return [{"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}]
