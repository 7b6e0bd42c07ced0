"""Rollouts in Standard mode: Deployments, and KServe's list of canary predictors."""

from typing import Any
from urllib.parse import urlparse

from shipway.components.lib.inference_service import KIND, as_canary, canary_name, uri_of
from shipway.components.lib.readiness import condition, rolled_out
from shipway.components.lib.rollout import Moves, stable_url

Object = dict[str, Any]


class StandardRollout(Moves):
    """A candidate in the canary list, with pods and a Service of its own."""

    @property
    def _canary(self) -> str:
        return canary_name(self.plan.version)

    @property
    def _service_name(self) -> str:
        return f"{self.plan.name}-{self._canary}-predictor"

    def bring_up(self) -> None:
        """Start the candidate without traffic; where nothing serves yet, with all of it."""
        if self.plan.previous is None or self.plan.settled:
            self.promote()
        else:
            self._give(0)

    def candidate_url(self) -> str:
        """The candidate's own Service, or the service's where the candidate is all there is."""
        standing = self.cluster.get(KIND, self.plan.name) or {}
        base = stable_url(standing)
        if not standing.get("spec", {}).get("canary"):
            return base
        # {name}-predictor.{namespace}.svc...: only a stable Service may have a port.
        suffix = str(urlparse(base).hostname).split(f".{self.cluster.namespace}.", 1)[-1]
        return f"http://{self._service_name}.{self.cluster.namespace}.{suffix}"

    def why_no_share(self) -> str:
        """Shares need an HTTPRoute, which KServe makes with `enableGatewayApi` alone."""
        name = self.plan.name
        standing = self.cluster.get(KIND, name) or {}
        if standing.get("spec", {}).get("transformer"):
            return (
                f"InferenceService '{name}' has a transformer, which KServe's route to a canary "
                "leaves out. Set traffic_steps=[100]."
            )
        if self.cluster.get("HTTPRoute", name) is None:
            return (
                f"In Standard mode KServe splits traffic by the Gateway API alone, and there is no "
                f"HTTPRoute '{name}' in namespace '{self.cluster.namespace}'. Set "
                "traffic_steps=[100] to change over at once, set enableGatewayApi in KServe's "
                "inferenceservice-config, or deploy in Knative mode."
            )
        return ""

    def shift(self, share: int) -> None:
        """Give the candidate a share of traffic, in percent."""
        self._give(share)

    def promote(self) -> None:
        """Give the candidate all traffic, for good.

        The stable predictor takes the candidate's model and keeps its name: a renamed one would
        take the Service's name, which callers in the cluster use, with it.
        """
        self.apply({"predictor": self.carrying})
        self.wait(lambda standing: self._missing(standing, self.plan.uri), self.plan.version)

    def roll_back(self) -> None:
        """Give all traffic back to what served before, and remove the candidate."""
        previous = self.plan.previous
        if previous is None:
            self.remove()
            return
        self.apply({"predictor": previous})
        self.wait(lambda standing: self._missing(standing, uri_of(previous)))

    def _give(self, share: int) -> None:
        plan = self.plan
        canary = as_canary(plan.candidate, plan.version, share)
        self.apply({"predictor": plan.previous, "canary": [canary]})
        self.wait(lambda standing: self._missing_canary(standing, share), plan.version)

    def _missing(self, standing: Object, uri: str) -> str:
        """What keeps the stable predictor from serving a URI alone."""
        lack = condition(standing, "Ready")
        lack = lack or rolled_out(self.cluster, f"{self.plan.name}-predictor", uri)
        if not lack and standing.get("status", {}).get("canaryStatuses"):
            lack = "a canary is still there"
        return lack or ("" if stable_url(standing) else "it has no address yet")

    def _missing_canary(self, standing: Object, share: int) -> str:
        """What keeps the canary from being ready with a share of traffic."""
        lack = rolled_out(self.cluster, self._service_name, self.plan.uri)
        told = {one["name"]: one for one in standing.get("status", {}).get("canaryStatuses") or []}
        ours = told.get(self._canary, {})
        if not lack and (not ours.get("ready") or ours.get("trafficPercent", 0) != share):
            lack = f"canary '{self._canary}' is told as {ours or 'missing'}"
        if not lack and share:
            lack = self._missing_weight(share)
        return lack or ("" if stable_url(standing) else "it has no address yet")

    def _missing_weight(self, share: int) -> str:
        route = self.cluster.get("HTTPRoute", self.plan.name) or {}
        for rule in route.get("spec", {}).get("rules", []):
            weights = {ref["name"]: ref.get("weight", 1) for ref in rule.get("backendRefs", [])}
            if weights and weights.get(self._service_name, 0) != share:
                return f"HTTPRoute '{self.plan.name}' gives {weights}"
        return "" if route else f"there is no HTTPRoute '{self.plan.name}'"
