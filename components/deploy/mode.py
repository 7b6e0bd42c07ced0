"""Which deployment mode an InferenceService is in, or will be."""

import json
from typing import Any

from shipway.components.lib.cluster import Cluster
from shipway.components.lib.errors import ConfigurationError, EndpointError
from shipway.components.lib.inference_service import MODE

# KServe's names, and what they were called before 0.16.
MODES = {
    "Knative": "Knative",
    "Serverless": "Knative",
    "Standard": "Standard",
    "RawDeployment": "Standard",
}
CONFIG, CONFIG_NAMESPACE = "inferenceservice-config", "kserve"


def deployment_mode(cluster: Cluster, standing: dict[str, Any] | None, asked: str) -> str:
    """The mode of a service that stands; else the one asked for; else the cluster's default.

    Returns:
        "Knative" or "Standard".

    Raises:
        ConfigurationError: another mode is asked for than a service has, or an unknown one.
    """
    if asked and asked not in MODES:
        raise ConfigurationError(
            f"deployment_mode='{asked}' is unknown: it is Knative or Standard, or empty to take "
            "the cluster's."
        )
    wanted, found = MODES.get(asked, ""), _mode_of(standing or {})
    if found and wanted and found != wanted:
        raise ConfigurationError(
            f"The InferenceService stands in {found} mode, which cannot change to {wanted}. Leave "
            "deployment_mode empty, or deploy under another model_name."
        )
    return found or wanted or _default(cluster)


def _mode_of(standing: dict[str, Any]) -> str:
    annotations = standing.get("metadata", {}).get("annotations") or {}
    told = standing.get("status", {}).get("deploymentMode") or annotations.get(MODE, "")
    return MODES.get(str(told), "")


def _default(cluster: Cluster) -> str:
    """What KServe is configured to; who may not read that asks whether Knative is there."""
    try:
        config = cluster.get("ConfigMap", CONFIG, CONFIG_NAMESPACE)
    except EndpointError:
        config = None
    try:
        deploy = json.loads((config or {})["data"]["deploy"])
        return MODES[deploy["defaultDeploymentMode"]]
    except (KeyError, ValueError, TypeError):
        return "Knative" if cluster.serves("serving.knative.dev") else "Standard"
