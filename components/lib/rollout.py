"""A candidate beside what serves: dark first, then a share of traffic, then all of it, or back.

Every move is an apply of the whole object, followed by a wait. So each may be interrupted and made
again, and what stands in the cluster alone says where a rollout is.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from shipway.components.lib.cluster import Cluster
from shipway.components.lib.errors import EndpointError
from shipway.components.lib.inference_service import (
    KIND,
    VERSION,
    annotation_of,
    service,
    uri_of,
    with_previous,
)
from shipway.components.lib.readiness import READY_SECONDS, Missing, wait

Object = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a rollout is about, as the serving record carries it from step to step.

    Attributes:
        name: of the model and of its InferenceService.
        mode: "Knative" or "Standard".
        candidate: predictor that is to serve.
        previous: predictor that it takes the place of; None where there is none.
        settled: whether the candidate has taken that place already: a run is made again.
        seconds: to wait for each move at most.
    """

    name: str
    mode: str
    candidate: Object
    previous: Object | None = None
    settled: bool = False
    seconds: float = READY_SECONDS

    @property
    def version(self) -> str:
        """The candidate's version."""
        return annotation_of(self.candidate, VERSION)

    @property
    def uri(self) -> str:
        """The candidate's storage URI."""
        return uri_of(self.candidate)

    def as_json(self) -> str:
        """The plan as text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read a plan.

        Raises:
            EndpointError: it is none.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise EndpointError(
                f"The serving record holds no plan of a rollout ({error}). Deploy again."
            ) from error


class Rollout(Protocol):
    """What a deployment mode can do."""

    def bring_up(self) -> None:
        """Start the candidate without traffic; where nothing serves yet, with all of it."""

    def candidate_url(self) -> str:
        """Base URL, in the cluster, at which the candidate alone answers."""

    def why_no_share(self) -> str:
        """Why a share of traffic cannot be given; empty when it can."""

    def shift(self, share: int) -> None:
        """Give the candidate a share of traffic, in percent."""

    def promote(self) -> None:
        """Give the candidate all traffic, for good."""

    def roll_back(self) -> None:
        """Give all traffic back to what served before, and remove the candidate."""

    def is_overtaken(self) -> bool:
        """Whether another run has put its own candidate in the place of ours."""


class Moves:
    """What both modes share: applying, waiting, and where the service answers."""

    def __init__(self, cluster: Cluster, plan: Plan) -> None:
        """Make the moves of one plan on a cluster."""
        self.cluster = cluster
        self.plan = plan

    def apply(self, spec: Object) -> None:
        """Apply the service with a specification."""
        plan = self.plan
        self.cluster.apply(service(plan.name, self.cluster.namespace, plan.mode, spec))

    def wait(self, missing: Missing, version: str = "", seconds: float = 0.0) -> Object:
        """Wait until nothing is missing."""
        return wait(self.cluster, self.plan.name, missing, seconds or self.plan.seconds, version)

    def is_overtaken(self) -> bool:
        """Whether another run has put its own candidate in the place of ours."""
        standing = self.cluster.get(KIND, self.plan.name)
        if standing is None:
            return False
        spec = standing["spec"]
        canaries = [one["predictor"] for one in spec.get("canary") or []]
        there = {uri_of(one) for one in canaries or [spec["predictor"]]}
        return not there & {self.plan.uri, uri_of(self.plan.previous or {})}

    def remove(self) -> None:
        """Remove the service: nothing served before."""
        self.cluster.delete(KIND, self.plan.name)

    @property
    def carrying(self) -> Object:
        """The candidate's predictor, with what it takes the place of."""
        return with_previous(self.plan.candidate, self.plan.previous)


def stable_url(standing: Object) -> str:
    """The service's own URL in the cluster; empty while it has none."""
    return str(standing.get("status", {}).get("address", {}).get("url", "")).rstrip("/")


def open_rollout(cluster: Cluster, plan: Plan) -> Rollout:
    """The moves of the plan's deployment mode."""
    if plan.mode == "Knative":
        from shipway.components.lib.knative import KnativeRollout

        return KnativeRollout(cluster, plan)
    from shipway.components.lib.standard import StandardRollout

    return StandardRollout(cluster, plan)
