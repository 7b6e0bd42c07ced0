"""Deployment: the target decides how a version comes up."""

import logging

from shipway.components.deploy.kserve import KServeTarget, deploy_kserve
from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.model_store import open_store
from shipway.components.lib.serving_record import ServingRecord

TARGETS = ("kserve", "local")
_log = logging.getLogger(__name__)


def deploy(
    version: str,
    model_name: str,
    model_store: str,
    serving_target: str,
    endpoint_port: int,
    kserve: KServeTarget,
) -> ServingRecord:
    """Bring a version up as a candidate and wait until it is ready.

    Args:
        version: in the model store.
        model_name: of the model and of its endpoint.
        model_store: URI of the store.
        serving_target: "kserve" or "local".
        endpoint_port: that callers use; local only.
        kserve: how it is deployed on a cluster.

    Raises:
        ConfigurationError: the target is unknown, or a name or port cannot be used.
        EndpointError: the candidate does not become ready.
        StoreError: there is no such version.
    """
    if serving_target not in TARGETS:
        raise ConfigurationError(
            f"serving_target='{serving_target}' is unknown: it is {' or '.join(TARGETS)}."
            f"{nearest(serving_target, TARGETS)}"
        )
    store = open_store(model_store)
    if serving_target == "local":
        from shipway.components.deploy.local import deploy_local

        if kserve.traffic_steps != (100,):
            raise ConfigurationError(
                f"traffic_steps={list(kserve.traffic_steps)} needs a cluster: a local endpoint "
                "changes over at once. Leave it at [100]."
            )
        record = deploy_local(store, model_store, version, model_name, endpoint_port)
    else:
        record = deploy_kserve(store, version, model_name, kserve)
    _log.info("deployed %s version %s: %s", model_name, version, record.endpoint)
    return record
