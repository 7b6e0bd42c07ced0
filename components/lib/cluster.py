"""The Kubernetes API: plain objects, server-side apply, retries.

KServe's own client cannot remove a field by a patch and fails with current Kubernetes clients, so
this talks to the API by Kubernetes' client and dictionaries alone. Objects are polled, not watched:
a watch that ends tells nothing, and a model takes longer to load than a poll.
"""

import json
import os
from pathlib import Path
from typing import Any

from shipway.components.lib.errors import ConfigurationError, EndpointError

FIELD_MANAGER = "shipway"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT_SECONDS = 30
ATTEMPTS = 6
BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.2, 10.0
PASSING = {409, 429, 500, 502, 503, 504}

Object = dict[str, Any]

# Group and version, and plural, of every kind that is asked for.
KINDS = {
    "InferenceService": ("serving.kserve.io/v1beta1", "inferenceservices"),
    "Deployment": ("apps/v1", "deployments"),
    "Revision": ("serving.knative.dev/v1", "revisions"),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", "httproutes"),
    "ConfigMap": ("v1", "configmaps"),
    "Pod": ("v1", "pods"),
    "Experiment": ("kubeflow.org/v1beta1", "experiments"),
    "Trial": ("kubeflow.org/v1beta1", "trials"),
    "TrainJob": ("trainer.kubeflow.org/v1alpha1", "trainjobs"),
}
# What brings kinds of a group, where a cluster does not know them.
BRINGS = {"trainer.kubeflow.org": "Kubeflow Trainer 2.2 or newer", "kubeflow.org": "Katib"}


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
    """The objects of one namespace."""

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

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """An object, or None where there is none.

        Raises:
            EndpointError: the API refuses or cannot be reached.
        """
        found = self._ask("GET", self._path(kind, name, namespace), f"get {kind} '{name}'")
        return None if found is None else dict(found)

    def find(self, kind: str, labels: str) -> list[Object]:
        """The objects that carry labels, such as "app=taxi".

        Raises:
            EndpointError: the API refuses or cannot be reached.
        """
        query = [("labelSelector", labels)]
        found = self._ask("GET", self._path(kind), f"list {kind}s", query=query)
        return list(found["items"]) if found else []

    def apply(self, body: Object) -> Object:
        """Create or change an object; fields that we named before and no longer name are removed.

        Raises:
            EndpointError: the API refuses or cannot be reached.
        """
        kind, name = body["kind"], body["metadata"]["name"]
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        answer = self._ask("PATCH", self._path(kind, name), f"apply {kind} '{name}'", body, query)
        if answer is None:
            version = KINDS[kind][0]
            brings = BRINGS.get(version.partition("/")[0], "KServe")
            raise EndpointError(
                f"The cluster knows no {kind} of {version}, or no namespace '{self.namespace}'. "
                f"Install {brings}, and create the namespace."
            )
        return dict(answer)

    def delete(self, kind: str, name: str) -> None:
        """Remove an object; it is no error that there is none.

        Raises:
            EndpointError: the API refuses or cannot be reached.
        """
        self._ask("DELETE", self._path(kind, name), f"delete {kind} '{name}'")

    def may(self, verb: str, group: str, resource: str) -> bool:
        """Whether we may do something in the namespace (SelfSubjectAccessReview).

        Args:
            verb: such as "patch".
            group: API group; empty for the core one.
            resource: plural, with its subresource: "pods/log".
        """
        plural, _, part = resource.partition("/")
        asked = {"namespace": self.namespace, "verb": verb, "group": group, "resource": plural}
        if part:
            asked["subresource"] = part
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._ask("POST", path, "ask what is allowed", body)
        return bool(answer and answer.get("status", {}).get("allowed"))

    def serves(self, group: str) -> bool:
        """Whether the API has a group, such as "serving.knative.dev"."""
        return self._ask("GET", f"/apis/{group}", f"look for {group}") is not None

    def last_words(self, pod: str, container: str, previous: bool, lines: int = 8) -> str:
        """The last lines of a container's log; empty when they cannot be had."""
        query = [("container", container), ("tailLines", str(lines))]
        query += [("previous", "true")] if previous else []
        path = f"{self._path('Pod', pod)}/log"
        try:
            return str(self._ask("GET", path, "read a log", query=query, kind="str") or "").strip()
        except EndpointError:
            return ""

    def _path(self, kind: str, name: str = "", namespace: str = "") -> str:
        version, plural = KINDS[kind]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        path = f"{root}/namespaces/{namespace or self.namespace}/{plural}"
        return f"{path}/{name}" if name else path

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        kind: str = "object",
    ) -> Any:
        """The API's answer, or None for 404; what passes is tried again.

        Raises:
            EndpointError: the API refused or could not be reached.
        """
        from kubernetes.client import ApiException
        from tenacity import (
            Retrying,
            retry_if_exception,
            stop_after_attempt,
            wait_random_exponential,
        )
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json" if kind == "object" else "*/*"}
        if body is not None:  # an apply is sent as YAML, which JSON is
            patch = "application/apply-patch+yaml"
            headers["Content-Type"] = patch if method == "PATCH" else "application/json"

        def passes(error: BaseException) -> bool:
            status = getattr(error, "status", 0) if isinstance(error, ApiException) else 0
            return isinstance(error, HTTPError) or status in PASSING

        again = Retrying(
            retry=retry_if_exception(passes),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS),
            reraise=True,
        )
        try:
            return again(
                self._api.call_api,
                path,
                method,
                query_params=query or [],
                header_params=headers,
                body=body,
                response_type=kind,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=TIMEOUT_SECONDS,
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise self._refused(error, what) from error
        except HTTPError as error:
            raise EndpointError(
                f"Kubernetes could not be reached to {what} in namespace '{self.namespace}': "
                f"{error}. Try again."
            ) from error

    def _refused(self, error: Any, what: str) -> EndpointError:
        where = f"{what} in namespace '{self.namespace}'"
        if error.status == 401:
            return EndpointError(
                f"Kubernetes does not know us ({_message(error)}), so we cannot {where}. The token "
                "of the service account, or of the kubeconfig, has expired."
            )
        if error.status == 403:
            return EndpointError(
                f"Not allowed to {where}: {_message(error)}. Apply manifests/base, which holds the "
                "Role of the pipeline's service account."
            )
        return EndpointError(f"Kubernetes refused to {where}: {error.status} {_message(error)}")


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
