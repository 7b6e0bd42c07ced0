"""The InferenceService of a model: what is applied, and what of it must be remembered.

Version and digest stand in the annotations of the predictor, not of the service: KServe copies both
to the pods, and a change at the service would restart pods that serve another version.
"""

import json
import re
from typing import Any

from shipway.components.lib.errors import ConfigurationError

API_VERSION = "serving.kserve.io/v1beta1"
KIND = "InferenceService"
RUNTIME = MODEL_FORMAT = "shipway-xgboost"
MANAGED_BY = {"app.kubernetes.io/managed-by": "shipway"}
VERSION, DIGEST = "shipway.dev/version", "shipway.dev/digest"
CODE, PREVIOUS = "shipway.dev/code", "shipway.dev/previous"
MODE = "serving.kserve.io/deploymentMode"
TAG_ROUTING = "serving.kserve.io/enable-tag-routing"
SOURCE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
MAX_HOST_LABEL = 63
SCHEMES = ("gs://", "s3://", "pvc://", "https://")

Object = dict[str, Any]


def storage_uri(uri: str) -> str:
    """Where KServe's storage initializer finds a version.

    Raises:
        ConfigurationError: it cannot load from there.
    """
    if uri.startswith("minio://"):  # Kubeflow's own scheme, which KServe refuses
        uri = "s3://" + uri.removeprefix("minio://")
    if not uri.startswith(SCHEMES):
        raise ConfigurationError(
            f"KServe cannot load a model from '{uri}'. Set model_store to a bucket (gs://... or "
            "s3://...)."
        )
    return uri


def check_names(name: str, namespace: str, version: str) -> None:
    """What KServe would refuse later, or never tell.

    Raises:
        ConfigurationError: a name cannot be a host's label, or is too long for one.
    """
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"model_name='{name}' cannot name an InferenceService: lower-case letters, digits and "
            "'-', beginning with a letter."
        )
    hosts = f"latest-{name}-predictor-{namespace}", f"{name}-{canary_name(version)}-predictor"
    longest = max(hosts, key=len)
    if len(longest) > MAX_HOST_LABEL:
        raise ConfigurationError(
            f"The host name '{longest}' has {len(longest)} characters; {MAX_HOST_LABEL} are "
            f"allowed. Shorten model_name by {len(longest) - MAX_HOST_LABEL}."
        )


def canary_name(version: str) -> str:
    """The name of a version's predictor while it is a canary in Standard mode."""
    return f"v{version}"


def predictor(
    uri: str, version: str, digest: str, code: str, service_account: str, replicas: int
) -> Object:
    """The predictor of a version.

    Args:
        uri: where its package stands.
        version: in the model store.
        digest: of the package.
        code: version of the code that trained it.
        service_account: whose credentials read the package; empty for the namespace's default.
        replicas: servers at least.
    """
    body: Object = {
        "annotations": {VERSION: version, DIGEST: digest, CODE: code},
        "minReplicas": replicas,
        "model": {
            "modelFormat": {"name": MODEL_FORMAT},
            "runtime": RUNTIME,
            "protocolVersion": "v2",
            "storageUri": uri,
            "args": [f"--model_version={version}"],
        },
    }
    if service_account:
        body["serviceAccountName"] = service_account
    return body


def service(name: str, namespace: str, mode: str, spec: Object) -> Object:
    """An InferenceService; its own annotations are the same for every version."""
    annotations = {MODE: mode} | ({TAG_ROUTING: "true"} if mode == "Knative" else {})
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(MANAGED_BY),
            "annotations": annotations,
        },
        "spec": spec,
    }


def as_canary(candidate: Object, version: str, share: int) -> Object:
    """A candidate in the canary list of Standard mode.

    The empty `name` of its model is required by the CRD there, though not in a predictor.
    """
    model = candidate["model"] | {"name": ""}
    body = candidate | {"name": canary_name(version), "minReplicas": 1, "model": model}
    return {"trafficPercent": share, "predictor": body}


def remembered(standing: Object, candidate: Object) -> Object:
    """Of a predictor that stands, what we would apply: the fields that a candidate names too.

    The rest is KServe's defaults, or another's, whose fields an apply leaves alone.
    """
    kept: Object = {}
    for key, ours in candidate.items():
        if key in standing and key != PREVIOUS:
            theirs = standing[key]
            deep = isinstance(ours, dict) and isinstance(theirs, dict)
            kept[key] = remembered(theirs, ours) if deep else theirs
    return kept


def with_previous(candidate: Object, previous: Object | None) -> Object:
    """A candidate that carries what it is to take the place of."""
    if previous is None:
        return candidate
    text = json.dumps(previous, sort_keys=True, separators=(",", ":"))
    return candidate | {"annotations": candidate["annotations"] | {PREVIOUS: text}}


def previous_of(standing: Object) -> Object | None:
    """What a predictor took the place of, as it carries it; None for nothing."""
    text = standing.get("annotations", {}).get(PREVIOUS)
    return dict(json.loads(text)) if text else None


def uri_of(body: Object) -> str:
    """The storage URI of a predictor; empty where it has none."""
    return str(body.get("model", {}).get("storageUri", ""))


def annotation_of(body: Object, key: str) -> str:
    """An annotation of a predictor or of an object's metadata; empty where there is none."""
    return str((body.get("annotations") or {}).get(key, ""))
