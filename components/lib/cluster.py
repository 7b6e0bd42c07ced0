"""InferenceServices through the Kubernetes API: plain objects, server-side apply.

KServe's own client cannot remove a field by a patch and fails with current Kubernetes clients, so
this talks to the API by Kubernetes' client and dictionaries alone.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shipway.components.lib.errors import ConfigurationError, EndpointError

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
FIELD_MANAGER = "shipway"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT_SECONDS = 30


def own_namespace(given: str) -> str:
    """The namespace to deploy to: the one given, or the one that this pod runs in.

    Raises:
        ConfigurationError: none is given and this is no pod.
    """
    found = given or os.environ.get("POD_NAMESPACE", "")
    if not found and NAMESPACE_FILE.is_file():
        found = NAMESPACE_FILE.read_text().strip()
    if not found:
        raise ConfigurationError(
            "No namespace is known: set serving_namespace. (Without a cluster: "
            "--set serving_target=local.)"
        )
    return found


class Cluster:
    """The InferenceServices of one namespace."""

    def __init__(self, namespace: str) -> None:
        """Connect as a pod does, or as the kubeconfig says.

        Raises:
            ConfigurationError: there is neither.
        """
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException

        try:
            try:
                config.load_incluster_config()
            except ConfigException:
                config.load_kube_config()
        except ConfigException as error:
            raise ConfigurationError(
                f"No Kubernetes cluster is configured ({error}). Run this step on a cluster, or "
                "set KUBECONFIG; on a laptop use serving_target=local."
            ) from error
        self.namespace = namespace
        self._api = client.ApiClient()

    def get(self, name: str) -> dict[str, Any] | None:
        """An InferenceService, or None where there is none."""
        from kubernetes.client import ApiException

        with self._explained("get", name):
            try:
                return self._call("GET", name)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create or change an InferenceService; fields that we no longer name are removed."""
        name = body["metadata"]["name"]
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        with self._explained("patch", name):
            return self._call("PATCH", name, body, query)

    def delete(self, name: str) -> None:
        """Remove an InferenceService; it is no error that there is none."""
        from kubernetes.client import ApiException

        with self._explained("delete", name):
            try:
                self._call("DELETE", name)
            except ApiException as error:
                if error.status != 404:
                    raise

    def _call(
        self,
        method: str,
        name: str,
        body: dict[str, Any] | None = None,
        query: list[tuple[str, str]] | None = None,
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml"  # JSON is YAML
        answer = self._api.call_api(
            f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}/{name}",
            method,
            query_params=query or [],
            header_params=headers,
            body=body,  # the client writes it as JSON
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _request_timeout=TIMEOUT_SECONDS,
        )
        return dict(answer)

    @contextmanager
    def _explained(self, verb: str, name: str) -> Iterator[None]:
        """Turn the client's errors into ours.

        Raises:
            EndpointError: the API refused or could not be reached.
        """
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        where = f"InferenceService '{name}' in namespace '{self.namespace}'"
        try:
            yield
        except ApiException as error:
            if error.status == 403:
                raise EndpointError(
                    f"Not allowed to {verb} {where}. Give the pipeline's service account a Role "
                    f"with apiGroups: [{GROUP}], resources: [{PLURAL}], verbs: [get, list, watch, "
                    "create, patch, delete]."
                ) from error
            raise EndpointError(
                f"Kubernetes refused to {verb} {where}: {error.status} {_message(error)}"
            ) from error
        except HTTPError as error:
            raise EndpointError(
                f"Kubernetes could not be reached to {verb} {where}: {error}. Try again."
            ) from error


def restore(cluster: Cluster, name: str, kept: str) -> None:
    """Apply what stood before; where nothing did, remove what was put there.

    Raises:
        EndpointError: the API refuses.
    """
    if kept:
        cluster.apply(json.loads(kept))
    else:
        cluster.delete(name)


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
