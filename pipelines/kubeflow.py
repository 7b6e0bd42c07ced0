"""The client of Kubeflow Pipelines' API, v2beta1.

Written on httpx and not on `kfp.Client`, which takes a login page for an empty list, waits for a
canceled run without end, gives up at a busy server and reads settings that others left behind.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from shipway.components import __version__
from shipway.components.lib.errors import ConfigurationError, KubeflowError
from shipway.pipelines.connection import Connection
from shipway.pipelines.package import Package
from shipway.pipelines.refusals import MissingError, RefusedError, TakenError


@dataclass(frozen=True)
class Settings:
    """What a run has beside its parameters.

    Attributes:
        name: of the run or schedule.
        experiment: its group in the dashboard; made when it is missing.
        service_account: that its pods run as; empty takes the installation's.
    """

    name: str
    experiment: str
    service_account: str = ""


@dataclass(frozen=True)
class Version:
    """An uploaded version of a pipeline; `made` is false where it was there before."""

    url: str
    made: bool


class Kubeflow:
    """One installation of Kubeflow Pipelines, as one user sees it."""

    def __init__(self, connection: Connection) -> None:
        """Ask the installation what it is.

        Raises:
            KubeflowError: it does not answer, or has only the API of KFP v1.
            ConfigurationError: it has many users and no namespace is given.
        """
        self._connection = connection
        access = connection.access
        self._page = (os.environ.get("KF_PIPELINES_UI_ENDPOINT") or access.host).rstrip("/") + "/#/"
        self.multi_user = bool(self._health().get("multi_user"))
        self.namespace = access.namespace if self.multi_user else ""
        if self.multi_user and not self.namespace:
            raise ConfigurationError(
                f"{access.host} has many users, each with a namespace; give yours: --namespace NAME"
            )

    def _health(self) -> dict[str, Any]:
        try:
            return self._connection.get("healthz")
        except MissingError as error:
            try:
                self._connection.get("v1beta1/healthz")
            except KubeflowError:
                raise error from None
            raise KubeflowError(
                f"{self._connection.access.host} has only the API v1beta1; Shipway's pipelines "
                "need Kubeflow Pipelines 2.0 or newer."
            ) from error

    def upload(self, package: Package, version: str) -> Version:
        """Add a version of a pipeline, and the pipeline itself when it is new.

        Raises:
            KubeflowError: the version is there with another content, or may not be added.
        """
        body = {"display_name": package.name, "namespace": self.namespace}
        pipeline = self._found_or_made("pipelines", "pipelines", body, namespace=self.namespace)
        pipeline_id = pipeline["pipeline_id"]
        versions = f"pipelines/{pipeline_id}/versions"

        def find() -> dict[str, Any] | None:
            return self._find(versions, "pipeline_versions", version)

        found = find()
        made = found is None
        if found is None:
            try:
                found = self._post_version(pipeline_id, package, version, find)
            except TakenError:
                made, found = False, find()
                if found is None:
                    raise
        version_id = found["pipeline_version_id"]
        if not made:
            stored = self._connection.get(f"{versions}/{version_id}").get("pipeline_spec")
            if stored != package.spec:
                raise KubeflowError(
                    f"Version '{version}' of '{package.name}' is uploaded already, with another "
                    "content; commit the change, or name it: --version-name NAME"
                )
        return Version(f"{self._page}pipelines/details/{pipeline_id}/version/{version_id}", made)

    def _post_version(
        self,
        pipeline_id: str,
        package: Package,
        version: str,
        find: Callable[[], dict[str, Any] | None],
    ) -> dict[str, Any]:
        try:
            return self._connection.post(
                "pipelines/upload_version",
                find,
                params={"name": version, "pipelineid": pipeline_id},
                files={"uploadfile": (f"{package.name}.yaml", package.text.encode())},
            )
        except RefusedError as error:
            if not self.multi_user:
                raise
            raise RefusedError(
                f"{error} The server may mean that this account must not add to pipelines in "
                f"namespace '{self.namespace}'."
            ) from error

    def submit(self, package: Package, arguments: dict[str, Any], settings: Settings) -> str:
        """Start a run.

        Returns:
            Its id.
        """
        body = self._body(package, arguments, settings)
        return str(self._made_once("runs", "runs", body)["run_id"])

    def schedule(
        self,
        package: Package,
        arguments: dict[str, Any],
        settings: Settings,
        cron: str,
        max_concurrency: int,
        catchup: bool,
    ) -> str:
        """Start a run whenever a cron expression of six fields says so.

        Returns:
            The id of the schedule.

        Raises:
            KubeflowError: the experiment has a schedule of that name.
        """
        body = self._body(package, arguments, settings) | {
            "trigger": {"cron_schedule": {"cron": cron}},
            "max_concurrency": str(max_concurrency),
            "no_catchup": not catchup,
            "mode": "ENABLE",
        }
        place = ("recurringruns", "recurringRuns")
        other = self._find(*place, settings.name, experiment_id=body["experiment_id"])
        if other:
            raise KubeflowError(
                f"A schedule '{settings.name}' is there already; delete it at "
                f"{self.schedule_url(other['recurring_run_id'])} or give another --name."
            )
        return str(self._made_once(*place, body)["recurring_run_id"])

    def run(self, run_id: str) -> dict[str, Any]:
        """A run as it stands now."""
        return self._connection.get(f"runs/{run_id}")

    def run_url(self, run_id: str) -> str:
        """The dashboard's page of a run."""
        return f"{self._page}runs/details/{run_id}"

    def schedule_url(self, schedule_id: str) -> str:
        """The dashboard's page of a schedule."""
        return f"{self._page}recurringrun/details/{schedule_id}"

    def _body(
        self, package: Package, arguments: dict[str, Any], settings: Settings
    ) -> dict[str, Any]:
        body = {"display_name": settings.experiment, "namespace": self.namespace}
        experiment = self._found_or_made(
            "experiments", "experiments", body, namespace=self.namespace
        )
        return {
            "display_name": settings.name,
            # Tells this submission from others of its name, when the answer to it is lost.
            "description": f"Submitted by shipway {__version__}, request {uuid.uuid4()}",
            "experiment_id": experiment["experiment_id"],
            "pipeline_spec": package.spec,
            "runtime_config": {"parameters": arguments},
            "service_account": settings.service_account,
        }

    def _made_once(self, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        def find() -> dict[str, Any] | None:
            same_name = self._list(
                path, key, body["display_name"], experiment_id=body["experiment_id"]
            )
            mark = body["description"]
            return next((one for one in same_name if one.get("description") == mark), None)

        return self._connection.post(path, find, json=body)

    def _found_or_made(
        self, path: str, key: str, body: dict[str, Any], **query: str
    ) -> dict[str, Any]:
        def find() -> dict[str, Any] | None:
            return self._find(path, key, body["display_name"], **query)

        found = find()
        if found is None:
            try:
                return self._connection.post(path, find, json=body)
            except TakenError:  # somebody else was faster
                found = find()
                if found is None:
                    raise
        return found

    def _find(self, path: str, key: str, name: str, **query: str) -> dict[str, Any] | None:
        return next(self._list(path, key, name, **query), None)

    def _list(self, path: str, key: str, name: str, **query: str) -> Iterator[dict[str, Any]]:
        """Everything of that display name, page after page."""
        predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
        # The server decodes a filter twice: a "+" in a version's name would become a blank.
        query["filter"] = quote(json.dumps({"predicates": [predicate]}))
        while True:
            page = self._connection.get(path, **query)
            yield from page.get(key, [])
            query["page_token"] = page.get("next_page_token", "")
            if not query["page_token"]:
                return
