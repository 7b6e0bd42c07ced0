"""The KServe target: an InferenceService of our own runtime, waited for until it is the new model.

A first form: the version takes all traffic. Canary shares follow the deployment mode and come
with it.
"""

import json
import re
import time
from typing import Any

from shipway.components.lib.cluster import GROUP, VERSION, Cluster, own_namespace, restore
from shipway.components.lib.errors import ConfigurationError, EndpointError
from shipway.components.lib.model_package import load_manifest, verify_files
from shipway.components.lib.model_store import ModelStore
from shipway.components.lib.serving import ServingRecord

RUNTIME = MODEL_FORMAT = "shipway-xgboost"
ANNOTATION = "shipway.dev"
PREVIOUS = f"{ANNOTATION}/previous"
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
MAX_HOST_LABEL = 63
READY_SECONDS = 900.0
POLL_SECONDS = 2.0
FAILED = {"InvalidSpec", "BlockedByFailedLoad"}
SCHEMES = ("gs://", "s3://", "pvc://", "https://")


def deploy_kserve(
    store: ModelStore,
    version: str,
    model_name: str,
    namespace: str,
    ready_seconds: float = READY_SECONDS,
) -> ServingRecord:
    """Apply an InferenceService for a version and wait until it serves that version.

    Raises:
        ConfigurationError: the name, the namespace or the store's URI cannot be used.
        EndpointError: the API refuses, the model fails to load, or the wait is over.
    """
    namespace = own_namespace(namespace)
    uri = store.uri(model_name, version)
    _check(model_name, namespace, uri)
    package = store.download(model_name, version)
    digest = verify_files(package)
    champion = store.champion(model_name)
    cluster = Cluster(namespace)
    previous = cluster.get(model_name)
    body = inference_service(model_name, namespace, uri, version, digest)
    body["metadata"]["annotations"][f"{ANNOTATION}/code"] = load_manifest(package)["code_version"]
    is_champion = champion is not None and champion.version == version
    kept = "" if is_champion else _kept(previous, uri)
    if kept:
        body["metadata"]["annotations"][PREVIOUS] = kept
    cluster.apply(body)
    try:
        ready = wait_until_ready(cluster, model_name, uri, ready_seconds)
    except BaseException:
        # A version that does not come up must not stay where the last good one was.
        if not is_champion:
            restore(cluster, model_name, kept)
        raise
    base = str(ready["status"]["address"]["url"]).rstrip("/")
    return ServingRecord(
        target="kserve",
        model_name=model_name,
        version=version,
        digest=digest,
        endpoint=base,
        v1_url=f"{base}/v1/models/{model_name}:predict",
        v2_url=f"{base}/v2/models/{model_name}/infer",
        model_dir=uri,
        champion=champion.version if champion else "",
        namespace=namespace,
        previous=kept,
    )


def _check(name: str, namespace: str, uri: str) -> None:
    """What KServe would refuse later, or never tell."""
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"model_name='{name}' cannot name an InferenceService: lower-case letters, digits and "
            "'-', beginning with a letter."
        )
    host = f"{name}-predictor-{namespace}"
    if len(host) > MAX_HOST_LABEL:
        raise ConfigurationError(
            f"The host name '{host}' has {len(host)} characters; {MAX_HOST_LABEL} are allowed. "
            f"Shorten model_name by {len(host) - MAX_HOST_LABEL}."
        )
    if not uri.startswith(SCHEMES):
        raise ConfigurationError(
            f"KServe cannot load a model from '{uri}'. Set model_store to a bucket (gs://...)."
        )


def inference_service(
    name: str, namespace: str, uri: str, version: str, digest: str
) -> dict[str, Any]:
    """The InferenceService of a version."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "shipway"},
            "annotations": {f"{ANNOTATION}/version": version, f"{ANNOTATION}/digest": digest},
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "model": {
                    "modelFormat": {"name": MODEL_FORMAT},
                    "runtime": RUNTIME,
                    "protocolVersion": "v2",
                    "storageUri": uri,
                },
            }
        },
    }


def _kept(previous: dict[str, Any] | None, uri: str) -> str:
    """What to go back to, as JSON; empty where nothing stood.

    Where the same version stands, an earlier try put it there, and kept it in an annotation.
    """
    if previous is None:
        return ""
    if previous["spec"]["predictor"].get("model", {}).get("storageUri") == uri:
        return str(previous["metadata"].get("annotations", {}).get(PREVIOUS, ""))
    metadata = previous["metadata"]
    kept = {
        "apiVersion": previous["apiVersion"],
        "kind": previous["kind"],
        "metadata": {
            key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata
        }
        | {
            "annotations": {
                key: value
                for key, value in metadata.get("annotations", {}).items()
                if key != PREVIOUS
            }
        },
        "spec": previous["spec"],
    }
    return json.dumps(kept, sort_keys=True)


def wait_until_ready(
    cluster: Cluster, name: str, uri: str, seconds: float = READY_SECONDS
) -> dict[str, Any]:
    """Wait for an InferenceService of a given storage URI to be ready.

    `Ready` alone does not mean the new model: in Standard mode it stays true during a rolling
    update. The probe proves identity afterwards, by the digest in each answer.

    Raises:
        EndpointError: the model fails to load, the object is gone, or the wait is over.
    """
    deadline = time.monotonic() + seconds
    while True:
        current = cluster.get(name)
        if current is None:
            raise EndpointError(f"InferenceService '{name}' was deleted while it was waited for.")
        status = current.get("status", {})
        state = status.get("modelStatus", {})
        if state.get("transitionStatus") in FAILED:
            info = state.get("lastFailureInfo", {})
            raise EndpointError(
                f"InferenceService '{name}' cannot serve {uri}: {info.get('reason', '')} "
                f"{info.get('message', '')}".strip()
            )
        conditions = {c["type"]: c for c in status.get("conditions", [])}
        ready = conditions.get("Ready", {})
        served = current["spec"]["predictor"].get("model", {}).get("storageUri")
        moving = state.get("transitionStatus") == "InProgress"
        if ready.get("status") == "True" and served == uri and not moving and "address" in status:
            return current
        if time.monotonic() > deadline:
            reason = ready.get("message") or ready.get("reason") or "no condition was given"
            raise EndpointError(
                f"InferenceService '{name}' was not ready after {seconds:.0f} s: {reason}. Look at "
                f"kubectl describe inferenceservice {name} -n {cluster.namespace}."
            )
        time.sleep(min(POLL_SECONDS, seconds / 10))
