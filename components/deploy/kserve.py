"""The KServe target: a version comes up beside what serves, and takes no traffic yet."""

from dataclasses import dataclass, replace
from typing import Any

from shipway.components.deploy.mode import deployment_mode
from shipway.components.lib.access import check_access
from shipway.components.lib.cluster import Cluster, own_namespace
from shipway.components.lib.errors import ConfigurationError, ShipwayError
from shipway.components.lib.inference_service import (
    KIND,
    MANAGED_BY,
    check_names,
    predictor,
    previous_of,
    remembered,
    storage_uri,
    uri_of,
)
from shipway.components.lib.model_package import load_manifest, verify_files
from shipway.components.lib.model_store import ModelStore
from shipway.components.lib.readiness import READY_SECONDS, condition
from shipway.components.lib.release_policy import traffic_steps_of
from shipway.components.lib.rollout import Plan, open_rollout, stable_url
from shipway.components.lib.serving_record import ServingRecord

Object = dict[str, Any]


@dataclass(frozen=True)
class KServeTarget:
    """How a version is deployed on a cluster.

    Attributes:
        namespace: of the InferenceService; empty takes the pod's own.
        mode: deployment mode of a first deployment; empty takes the cluster's.
        service_account: whose credentials read the model; empty takes the namespace's default.
        replicas: servers at least.
        traffic_steps: shares that the release will ask for, in percent, the last one 100.
        ready_seconds: to wait for the candidate at most.
    """

    namespace: str = ""
    mode: str = ""
    service_account: str = ""
    replicas: int = 1
    traffic_steps: tuple[int, ...] = (100,)
    ready_seconds: float = READY_SECONDS


def deploy_kserve(
    store: ModelStore, version: str, model_name: str, target: KServeTarget
) -> ServingRecord:
    """Bring a version up as a candidate and wait until it is ready.

    When it does not come up, what served before has all traffic again.

    Raises:
        ConfigurationError: a name, a right, a mode or the store's URI does not allow it.
        EndpointError: the API refuses, the model fails to load, or the wait is over.
    """
    namespace = own_namespace(target.namespace)
    check_names(model_name, namespace, version)
    traffic_steps_of(target.traffic_steps)
    uri = storage_uri(store.uri(model_name, version))
    package = store.download(model_name, version)
    digest, code = verify_files(package), load_manifest(package)["code_version"]
    champion = store.champion(model_name)
    cluster = Cluster(namespace)
    standing = cluster.get(KIND, model_name)
    _check_owner(model_name, namespace, standing)
    mode = deployment_mode(cluster, standing, target.mode)
    check_access(cluster, mode)
    account, replicas = target.service_account, target.replicas
    candidate = predictor(uri, version, digest, code, account, replicas)
    plan = _plan(model_name, mode, candidate, standing, has_champion=champion is not None)
    plan = replace(plan, seconds=target.ready_seconds)
    rollout = open_rollout(cluster, plan)
    if plan.previous is not None and target.traffic_steps != (100,):
        refusal = rollout.why_no_share()
        if refusal:
            raise ConfigurationError(refusal)
    try:
        rollout.bring_up()
        endpoint = rollout.candidate_url()
    except BaseException as error:
        # A version that does not come up must not stay where the last good one was.
        if champion is None or champion.version != version:
            _roll_back(rollout.roll_back, error)
        raise
    return ServingRecord(
        target="kserve",
        model_name=model_name,
        version=version,
        digest=digest,
        endpoint=endpoint,
        model_dir=uri,
        champion=champion.version if champion else "",
        namespace=namespace,
        stable_endpoint=stable_url(cluster.get(KIND, model_name) or {}),
        plan=plan.as_json(),
    )


def _check_owner(name: str, namespace: str, standing: Object | None) -> None:
    labels = (standing or {}).get("metadata", {}).get("labels") or {}
    if standing is not None and not MANAGED_BY.items() <= labels.items():
        label = "=".join(next(iter(MANAGED_BY.items())))
        raise ConfigurationError(
            f"InferenceService '{name}' in namespace '{namespace}' was not made by Shipway. Choose "
            f"another model_name, or hand it over: kubectl label inferenceservice {name} -n "
            f"{namespace} {label}"
        )


def _plan(
    name: str, mode: str, candidate: Object, standing: Object | None, has_champion: bool
) -> Plan:
    """Tell from what stands what the candidate takes the place of.

    A run that was interrupted left its candidate there: what that one was to take the place of
    still counts, not the candidate.
    """
    if standing is None:
        return Plan(name, mode, candidate)
    spec = standing["spec"]
    there = spec["predictor"]
    if spec.get("canary"):
        return Plan(name, mode, candidate, remembered(there, candidate))
    if there.get("canaryTrafficPercent") is not None:
        # A candidate says what it was to follow; what says nothing was just being restored.
        return Plan(name, mode, candidate, previous_of(there) or remembered(there, candidate))
    if uri_of(there) == uri_of(candidate):
        return Plan(name, mode, candidate, previous_of(there), settled=True)
    if not has_champion and condition(standing, "Ready"):
        return Plan(name, mode, candidate)  # a first deployment that never came up
    return Plan(name, mode, candidate, remembered(there, candidate))


def _roll_back(roll_back: Any, error: BaseException) -> None:
    """Roll back; a failure of that is added to what failed before, and does not replace it."""
    try:
        roll_back()
    except ShipwayError as second:
        error.add_note(f"Rolling back failed too: {second}")
