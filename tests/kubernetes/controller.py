"""What KServe 0.20 does to the objects of an InferenceService, played step by step.

After kserve's `ksvc_reconciler.go`, `inference_service_status.go` (PropagateStatus),
`predictor.go` (reconcileCanaryDeployments) and `httproute_reconciler.go` (applyCanaryWeights).
Each poll of the service is one step of time.
"""

import copy
import json
from dataclasses import dataclass, field
from typing import Any

SOURCE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"
MODE = "serving.kserve.io/deploymentMode"
Object = dict[str, Any]


@dataclass
class Script:
    """How the cluster behaves.

    Attributes:
        default_mode: of services that name none.
        stale: polls for which a change is not seen: the old status stands.
        slow: polls that new servers take.
        broken: storage URIs whose servers cannot start, and the reason of their waiting.
        words: what the container of a broken server said last.
        gateway: whether there are HTTPRoutes.
        unrouted: whether an HTTPRoute never gets a canary's weight.
        collected: whether Knative has removed the revision before.
        untagged: whether the annotation for tags has no effect.
    """

    default_mode: str = "Standard"
    stale: int = 0
    slow: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    words: str = "shipway: model.ubj: SHA-256 differs"
    gateway: bool = False
    unrouted: bool = False
    collected: bool = False
    untagged: bool = False


@dataclass
class Controller:
    """Reconciles services whenever the API hands one out."""

    api: Any
    script: Script = field(default_factory=Script)
    waiting: dict[str, int] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    unseen: int = 0
    serving: dict[str, str] = field(default_factory=dict)

    def on_seen(self, obj: Object) -> None:
        """Called by the API for each object that it reads or writes."""
        if obj.get("kind") != "InferenceService":
            return
        name = obj["metadata"]["name"]
        if obj.get("deleted"):
            self._clear(name)
        elif obj.get("applied"):
            self.unseen = self.script.stale
            self._default(self._stored(obj))
        elif self.unseen > 0:
            self.unseen -= 1
        else:
            stored = self._stored(obj)
            status = stored.setdefault("status", {})
            mode = stored["metadata"]["annotations"].get(MODE, self.script.default_mode)
            status["deploymentMode"] = mode
            (self._knative if mode == "Knative" else self._standard)(stored, status)

    def _stored(self, obj: Object) -> Object:
        metadata = obj["metadata"]
        return self.api.objects["inferenceservices", metadata["namespace"], metadata["name"]]

    def _default(self, isvc: Object) -> None:
        """What the webhook writes into a predictor."""
        model = isvc["spec"]["predictor"]["model"]
        model.setdefault("name", "")
        model.setdefault("resources", {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})

    def _clear(self, name: str) -> None:
        for key, obj in list(self.api.objects.items()):
            if obj["metadata"].get("labels", {}).get("serving.kserve.io/inferenceservice") == name:
                del self.api.objects[key]
        self.templates.pop(f"{name}-predictor", None)

    def _put(self, plural: str, isvc: Object, name: str, **parts: Any) -> Object:
        namespace, owner = isvc["metadata"]["namespace"], isvc["metadata"]["name"]
        key = (plural, namespace, name)
        metadata = {"name": name, "namespace": namespace}
        metadata["labels"] = {"serving.kserve.io/inferenceservice": owner}
        obj = self.api.objects.setdefault(key, {"metadata": metadata})
        obj["metadata"]["annotations"] = parts.pop("annotations", {})
        obj.update(parts)
        return obj

    # Knative

    def _knative(self, isvc: Object, status: Object) -> None:
        name, predictor = isvc["metadata"]["name"], isvc["spec"]["predictor"]
        service = f"{name}-predictor"
        mine = status.setdefault("components", {}).setdefault("predictor", {})
        body = {k: v for k, v in predictor.items() if k != "canaryTrafficPercent"}
        template = json.dumps([body, isvc["metadata"]["annotations"]], sort_keys=True)
        if self.templates.get(service) != template:
            self.templates[service] = template
            count = int(mine.get("latestCreatedRevision", "-00000")[-5:]) + 1
            revision = f"{service}-{count:05}"
            mine["latestCreatedRevision"] = revision
            self.waiting[revision] = self.script.slow
            self._pods(isvc, revision, predictor)
            uri = predictor["model"]["storageUri"]
            annotations = predictor.get("annotations", {}) | {SOURCE_URI: uri}
            self._put("revisions", isvc, revision, annotations=annotations)
        created = mine["latestCreatedRevision"]
        broken = self._uri_of(isvc, created) in self.script.broken
        if self.waiting[created] > 0:
            self.waiting[created] -= 1
        elif not broken:
            mine["latestReadyRevision"] = created
        self._route(isvc, mine)
        ready = mine.get("latestReadyRevision") == created
        self._conditions(status, Ready=ready, LatestDeploymentReady=ready)
        self._model_status(status, ready, broken)
        if mine.get("latestReadyRevision"):
            status["address"] = {"url": f"http://{self._host(isvc, name)}"}

    def _uri_of(self, isvc: Object, revision: str) -> str:
        key = ("revisions", isvc["metadata"]["namespace"], revision)
        return self.api.objects[key]["metadata"]["annotations"][SOURCE_URI]

    def _route(self, isvc: Object, mine: Object) -> None:
        ready = mine.get("latestReadyRevision")
        if not ready:
            return
        percent = isvc["spec"]["predictor"].get("canaryTrafficPercent")
        tagged = "serving.kserve.io/enable-tag-routing" in isvc["metadata"]["annotations"]
        tag = {"tag": "latest"} if tagged and not self.script.untagged else {}
        last = mine.get("latestRolledoutRevision", "")
        latest = {"latestRevision": True, "revisionName": ready, "percent": 100} | tag
        mine["traffic"] = [latest]
        if percent is not None and last:
            latest["percent"] = percent
            if percent < 100:
                rest = {"revisionName": last, "percent": 100 - percent, "tag": "prev"}
                mine["traffic"].append(rest | {"latestRevision": False})
        if last != ready:
            if latest["percent"] == 100:
                mine["previousRolledoutRevision"] = last
                mine["latestRolledoutRevision"] = ready
        elif mine["latestCreatedRevision"] == ready and latest["percent"] < 100:
            before = "" if self.script.collected else mine.get("previousRolledoutRevision")
            mine["latestRolledoutRevision"] = before or last

    # Standard

    def _standard(self, isvc: Object, status: Object) -> None:
        name, spec = isvc["metadata"]["name"], isvc["spec"]
        stable = f"{name}-predictor"
        canaries = spec.get("canary") or []
        expected, told = {stable}, []
        for canary in canaries:
            merged = copy.deepcopy(spec["predictor"])
            _override(merged, canary["predictor"])
            service = f"{name}-{merged['name']}-predictor"
            expected.add(service)
            ready = self._deployment(isvc, service, merged)
            one = {
                "name": merged["name"],
                "ready": ready,
                "trafficPercent": canary["trafficPercent"],
            }
            told.append(one)
        status["canaryStatuses"] = told
        if not told:
            del status["canaryStatuses"]
        for key, obj in list(self.api.objects.items()):
            owner = obj["metadata"].get("labels", {}).get("serving.kserve.io/inferenceservice")
            if key[0] == "deployments" and owner == name and key[2] not in expected:
                del self.api.objects[key]
                self.templates.pop(key[2], None)
        ready = self._deployment(isvc, stable, spec["predictor"])
        self._conditions(status, Ready=ready)
        broken = spec["predictor"]["model"]["storageUri"] in self.script.broken
        self._model_status(status, ready, broken and not ready)
        if ready:
            status["address"] = {"url": f"http://{self._host(isvc, stable)}"}
        if self.script.gateway:
            self._http_route(isvc, stable, told)

    def _deployment(self, isvc: Object, service: str, predictor: Object) -> bool:
        """Move a Deployment on by one step; whether any of its pods is available."""
        template = json.dumps([predictor, isvc["metadata"]["annotations"]], sort_keys=True)
        uri = predictor["model"]["storageUri"]
        deployment = self._put("deployments", isvc, service)
        if self.templates.get(service) != template:
            self.templates[service] = template
            self.waiting[service] = self.script.slow
            generation = deployment["metadata"].get("generation", 0) + 1
            deployment["metadata"]["generation"] = generation
            annotations = predictor.get("annotations", {}) | {SOURCE_URI: uri}
            replicas = predictor.get("minReplicas", 1)
            metadata = {"annotations": annotations}
            deployment["spec"] = {"replicas": replicas, "template": {"metadata": metadata}}
            self._pods(isvc, service, predictor)
            return "status" in deployment and deployment["status"]["availableReplicas"] > 0
        replicas = deployment["spec"]["replicas"]
        old = deployment.get("status", {}).get("availableReplicas", 0)
        done = self.waiting[service] <= 0 and uri not in self.script.broken
        self.waiting[service] -= 1
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": replicas if done else replicas + bool(old),
            "updatedReplicas": replicas if done else 1,
            "availableReplicas": replicas if done else old,
        }
        if done:
            self.serving[service] = uri
        return deployment["status"]["availableReplicas"] > 0

    def _http_route(self, isvc: Object, stable: str, told: list[Object]) -> None:
        ready = [] if self.script.unrouted else [one for one in told if one["ready"]]
        name, rest = isvc["metadata"]["name"], 100 - sum(one["trafficPercent"] for one in ready)
        refs = [{"name": stable, "weight": rest}] + [
            {"name": f"{name}-{one['name']}-predictor", "weight": one["trafficPercent"]}
            for one in ready
        ]
        self._put("httproutes", isvc, name, spec={"rules": [{"backendRefs": refs}]})

    # Both

    def _host(self, isvc: Object, service: str) -> str:
        return f"{service}.{isvc['metadata']['namespace']}.svc.cluster.local"

    def _pods(self, isvc: Object, owner: str, predictor: Object) -> None:
        reason = self.script.broken.get(predictor["model"]["storageUri"])
        pod = f"{owner}-0"
        self.api.objects.pop(("pods", isvc["metadata"]["namespace"], pod), None)
        if reason is None or reason == "status":
            return
        state = {"waiting": {"reason": reason, "message": f"{reason} of the image"}}
        container = {"name": "kserve-container", "state": state}
        if reason == "CrashLoopBackOff":
            container["lastState"] = {"terminated": {"exitCode": 3}}
        annotations = dict(predictor.get("annotations", {}))
        status = {"containerStatuses": [container]}
        self._put("pods", isvc, pod, annotations=annotations, status=status)
        self.api.logs[pod] = self.script.words

    def _conditions(self, status: Object, **conditions: bool) -> None:
        status["conditions"] = [
            {"type": kind, "status": "True"}
            if true
            else {"type": kind, "status": "False", "message": "pulling the image"}
            for kind, true in conditions.items()
        ]

    def _model_status(self, status: Object, ready: bool, broken: bool) -> None:
        state = {"transitionStatus": "UpToDate" if ready else "InProgress"}
        if broken:
            info = {"reason": "ModelLoadFailed", "message": self.script.words}
            state = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": info}
        status["modelStatus"] = state


def _override(stable: Object, canary: Object) -> None:
    """Merge as mergo does: maps by key, everything else replaced when it is not empty."""
    for key, value in canary.items():
        if isinstance(value, dict) and isinstance(stable.get(key), dict):
            _override(stable[key], value)
        elif value not in ("", None, [], {}):
            stable[key] = value
