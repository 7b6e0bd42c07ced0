"""Hand-over to the Kubeflow Model Registry, by its REST API v1alpha3: model, version, artifact."""

from collections.abc import Mapping
from typing import Any

import httpx

from shipway.components.lib.errors import StoreError
from shipway.components.register.entry import DIGEST, Entry, json_of

PATH = "/api/model_registry/v1alpha3/"


def tell(client: httpx.Client, entry: Entry) -> None:
    """Make the model, the version and its artifact, each unless it stands.

    Raises:
        StoreError: the registry has the version with another digest.
    """
    model = _made(client, "registered_model", {"name": entry.name})
    version = {
        "name": entry.version,
        "registeredModelId": model["id"],
        "description": entry.description,
        "customProperties": _properties(entry),
    }
    version = _made(client, "model_version", version)
    kept = version.get("customProperties", {}).get(DIGEST, {}).get("string_value")
    if kept != entry.digest:
        raise StoreError(
            f"it has another version {entry.version} of '{entry.name}' (digest {kept}); give one "
            "model store to each model name"
        )
    artifacts = f"model_versions/{version['id']}/artifacts"
    standing = json_of(client.get(artifacts)).get("items") or []
    if not any(artifact.get("uri") == entry.uri for artifact in standing):
        artifact = {
            "artifactType": "model-artifact",
            "name": f"{entry.name}-{entry.version}",
            "uri": entry.uri,
            "modelFormatName": "xgboost",
        }
        json_of(client.post(artifacts, json=artifact))


def _properties(entry: Entry) -> dict[str, dict[str, Any]]:
    texts = {
        name: {"metadataType": "MetadataStringValue", "string_value": value}
        for name, value in entry.facts.items()
    }
    numbers = {
        name: {"metadataType": "MetadataDoubleValue", "double_value": value}
        for name, value in entry.metrics.items()
    }
    return texts | numbers


def _made(client: httpx.Client, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A resource by its name: the one that stands, or a new one."""
    wanted = {"name": value["name"], "parentResourceId": value.get("registeredModelId")}
    found = client.get(kind, params={key: one for key, one in wanted.items() if one})
    return json_of(client.post(f"{kind}s", json=value) if found.status_code == 404 else found)
