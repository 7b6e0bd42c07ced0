"""Rollouts in Knative mode: revisions, and a share of traffic for the latest of them."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlparse

from shipway.components.lib.errors import EndpointError
from shipway.components.lib.inference_service import KIND, uri_of
from shipway.components.lib.readiness import condition, revision_serves
from shipway.components.lib.rollout import Moves, stable_url

Object = dict[str, Any]
LATEST_TAG = "latest"
GIVE_BACK_SECONDS = 60.0


class KnativeRollout(Moves):
    """A candidate as the latest revision, and what served as the one before."""

    def bring_up(self) -> None:
        """Start the candidate without traffic; where nothing serves yet, with all of it."""
        alone = self.plan.settled or self.plan.previous is None or not self._has_rolled_out()
        self._move(None if alone else 0)

    def _has_rolled_out(self) -> bool:
        # KServe ignores the percentage before a revision has had all traffic.
        standing = self.cluster.get(KIND, self.plan.name) or {}
        return bool(_status(standing).get("latestRolledoutRevision"))

    def candidate_url(self) -> str:
        """The tag's host in the cluster, or the service's own where the candidate has all traffic.

        Raises:
            EndpointError: the route has no tag for the latest revision.
        """
        standing = self.cluster.get(KIND, self.plan.name) or {}
        base = stable_url(standing)
        if _share(standing) == 100:
            return base
        if LATEST_TAG not in {one.get("tag") for one in _traffic(standing)}:
            raise EndpointError(
                f"The route of InferenceService '{self.plan.name}' has no tag '{LATEST_TAG}', so "
                "that the candidate cannot be probed alone. Is the annotation "
                "serving.kserve.io/enable-tag-routing refused by a policy?"
            )
        # {name}.{namespace}.svc...: the tag's host has the same suffix.
        suffix = urlparse(base).netloc.split(f".{self.cluster.namespace}.", 1)[-1]
        host = f"{LATEST_TAG}-{self.plan.name}-predictor.{self.cluster.namespace}.{suffix}"
        return f"http://{host}"

    def why_no_share(self) -> str:
        """Knative routes every share."""
        return ""

    def shift(self, share: int) -> None:
        """Give the candidate a share of traffic, in percent."""
        self._move(share)

    def promote(self) -> None:
        """Give the candidate all traffic, for good."""
        self._move(None)

    def roll_back(self) -> None:
        """Give all traffic back to what served before, and remove the candidate.

        Applying the previous predictor at once would give the candidate everything until its new
        revision is ready: all traffic goes to the latest ready one. So the share is taken first.
        """
        previous = self.plan.previous
        if previous is None:
            self.remove()
            return
        if not self._has_rolled_out():
            self.apply({"predictor": previous})
            return
        self.apply({"predictor": self.carrying | {"canaryTrafficPercent": 0}})
        # The revision before may be gone; what is applied next takes over all the same.
        with suppress(EndpointError):
            self.wait(self._has_traffic, seconds=min(GIVE_BACK_SECONDS, self.plan.seconds))
        uri = uri_of(previous)
        self.apply({"predictor": previous | {"canaryTrafficPercent": 0}})
        self.wait(lambda standing: self._missing(standing, uri, None))
        self.apply({"predictor": previous})
        self.wait(lambda standing: self._missing(standing, uri, 100))

    def _has_traffic(self, standing: Object) -> str:
        ready = str(_status(standing).get("latestReadyRevision", ""))
        if revision_serves(self.cluster, ready, self.plan.uri):
            return ""  # the candidate never became ready
        return f"the candidate has {_share(standing)}% of the traffic" if _share(standing) else ""

    def _move(self, share: int | None) -> None:
        body: Object = {} if share is None else {"canaryTrafficPercent": share}
        self.apply({"predictor": self.carrying | body})
        uri, wanted = self.plan.uri, 100 if share is None else share
        self.wait(lambda standing: self._missing(standing, uri, wanted), self.plan.version)

    def _missing(self, standing: Object, uri: str, share: int | None) -> str:
        """What keeps a URI's revision from being ready, with a share of traffic if one is asked."""
        status = _status(standing)
        ready = str(status.get("latestReadyRevision", ""))
        if status.get("latestCreatedRevision", "") != ready:
            return f"the revision '{status.get('latestCreatedRevision')}' is not ready"
        lack = revision_serves(self.cluster, ready, uri)
        if not lack and share is not None and _share(standing) != share:
            lack = f"version {self.plan.version} has {_share(standing)}% of the traffic"
        if not lack and not stable_url(standing):
            lack = "it has no address yet"
        return lack or condition(standing, "Ready") or condition(standing, "LatestDeploymentReady")


def _status(standing: Object) -> Object:
    found = standing.get("status", {}).get("components", {}).get("predictor", {})
    return dict(found)


def _traffic(standing: Object) -> list[Object]:
    return list(_status(standing).get("traffic") or [])


def _share(standing: Object) -> int:
    """Percent of the traffic that the latest ready revision has."""
    revision = _status(standing).get("latestReadyRevision")
    shares = [t.get("percent") or 0 for t in _traffic(standing) if t["revisionName"] == revision]
    return int(sum(shares))
