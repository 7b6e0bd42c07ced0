"""Waiting that cannot be fooled: which rule is not met yet, and when to stop waiting.

`Ready` of an InferenceService does not say that the new model serves: it stays true during a
rolling update, and its `observedGeneration` is another object's. So the object below it is asked
which storage URI it was made for.
"""

import time
from collections.abc import Callable
from typing import Any

from shipway.components.lib.cluster import Cluster
from shipway.components.lib.errors import EndpointError
from shipway.components.lib.inference_service import (
    KIND,
    SOURCE_URI,
    VERSION,
    annotation_of,
)

Object = dict[str, Any]
# Says what is still missing of a service that stands; empty when nothing is.
Missing = Callable[[Object], str]

READY_SECONDS = 900.0
POLL_SECONDS = 2.0
# A state of failure may be what an earlier try left behind; the controller rewrites it in seconds.
STALE_SECONDS = 15.0
FAILED = {"InvalidSpec", "BlockedByFailedLoad"}
HOPELESS = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
}
POD_LABEL = "serving.kserve.io/inferenceservice"


def wait(
    cluster: Cluster, name: str, missing: Missing, seconds: float, version: str = ""
) -> Object:
    """Poll an InferenceService until nothing is missing.

    Args:
        cluster: where it stands.
        name: of the service.
        missing: says what is not yet as it should be.
        seconds: to wait at most.
        version: whose servers' failure to start ends the wait; empty for none's.

    Returns:
        The service as it stands then.

    Raises:
        EndpointError: a server cannot start, the service is gone, or the wait is over.
    """
    began = failed_since = time.monotonic()
    while True:
        standing = cluster.get(KIND, name)
        if standing is None:
            raise EndpointError(f"InferenceService '{name}' was deleted while it was waited for.")
        lack = missing(standing)
        if not lack:
            return standing
        now = time.monotonic()
        failure = _failure_of_model(standing)
        failed_since = failed_since if failure else now
        if version:
            words = failure_of_pods(cluster, name, version)
            if words or (failure and now - failed_since > min(STALE_SECONDS, seconds / 4)):
                raise EndpointError(
                    f"InferenceService '{name}' cannot serve version {version}: {words or failure}"
                )
        if now - began > seconds:
            raise EndpointError(
                f"InferenceService '{name}' was not as asked after {seconds:.0f} s: {lack}. Look "
                f"at kubectl describe inferenceservice {name} -n {cluster.namespace}."
            )
        time.sleep(min(POLL_SECONDS, seconds / 20))


def _failure_of_model(standing: Object) -> str:
    state = standing.get("status", {}).get("modelStatus", {})
    if state.get("transitionStatus") not in FAILED:
        return ""
    info = state.get("lastFailureInfo", {})
    cure = " Apply manifests/base, which has the runtime." if "Runtime" in str(info) else ""
    said = f"{info.get('reason', '')} {info.get('message', '')}".strip()
    return f"{said or state['transitionStatus']}.{cure}"


def failure_of_pods(cluster: Cluster, name: str, version: str) -> str:
    """Why a version's pod will not start, in its container's words; empty while there is hope."""
    for pod in cluster.find("Pod", f"{POD_LABEL}={name}"):
        if annotation_of(pod["metadata"], VERSION) != version:
            continue
        status = pod.get("status", {})
        kinds = ("initContainerStatuses", "containerStatuses")
        for container in (one for kind in kinds for one in status.get(kind) or []):
            waiting = container.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in HOPELESS:
                return _in_its_words(cluster, pod["metadata"]["name"], container, waiting)
    return ""


def _in_its_words(cluster: Cluster, pod: str, container: Object, waiting: Object) -> str:
    ended = container.get("lastState", {}).get("terminated") or {}
    said = ended.get("message") or ""
    if ended and not said:
        said = cluster.last_words(pod, container["name"], previous=True)
    told = said or waiting.get("message") or "it says no more"
    code = f", exit code {ended['exitCode']}" if "exitCode" in ended else ""
    return f"container '{container['name']}' of pod '{pod}' is in {waiting['reason']}{code}: {told}"


def condition(standing: Object, kind: str) -> str:
    """What keeps a condition from being true; empty when it is."""
    for one in standing.get("status", {}).get("conditions", []):
        if one["type"] == kind:
            if one["status"] == "True":
                return ""
            return f"{kind} is {one['status']}: {one.get('message') or one.get('reason') or '?'}"
    return f"{kind} is not told yet"


def rolled_out(cluster: Cluster, deployment: str, uri: str) -> str:
    """What keeps a Deployment from serving a storage URI alone; empty when nothing does."""
    found = cluster.get("Deployment", deployment)
    if found is None:
        return f"there is no Deployment '{deployment}' yet"
    template = found["spec"]["template"].get("metadata", {})
    if annotation_of(template, SOURCE_URI) != uri:
        return f"Deployment '{deployment}' is not made for {uri} yet"
    status = found.get("status", {})
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return f"the change of Deployment '{deployment}' is not seen yet"
    wanted = found["spec"].get("replicas", 1)
    counts = [status.get(f"{kind}eplicas", 0) for kind in ("r", "updatedR", "availableR")]
    if counts != [wanted] * 3 or wanted < 1:
        return (
            f"Deployment '{deployment}' has {counts[2]} available of {wanted} replicas, "
            f"{counts[1]} of them new"
        )
    return ""


def revision_serves(cluster: Cluster, revision: str, uri: str) -> str:
    """What keeps a Knative revision from being a storage URI's; empty when nothing does."""
    found = cluster.get("Revision", revision) if revision else None
    if found is None or annotation_of(found["metadata"], SOURCE_URI) != uri:
        return f"the latest ready revision '{revision or 'none'}' is not made for {uri}"
    return ""
