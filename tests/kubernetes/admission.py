"""What the API server and KServe's webhook refuse: CRD schemas, and rules that no schema holds.

The rules are those of kserve's `inference_service_validation.go`.
"""

from typing import Any

MODE = "serving.kserve.io/deploymentMode"
Object = dict[str, Any]


def webhook(body: Object) -> list[str]:
    """What the webhook says against an InferenceService."""
    spec = body["spec"]
    predictor, canaries = spec["predictor"], spec.get("canary") or []
    wrong = []
    if predictor["model"].get("name"):
        wrong.append("the 'name' field is not allowed in standard predictor")
    if canaries and body["metadata"]["annotations"].get(MODE) != "Standard":
        wrong.append("canary is only supported in Standard deployment mode")
    names = [canary["predictor"].get("name", "") for canary in canaries]
    if "" in names or len(set(names)) < len(names) or predictor.get("name", "") in names:
        wrong.append(f"canary names {names} are empty, equal or the stable one's")
    if sum(canary["trafficPercent"] for canary in canaries) > 100:
        wrong.append("sum of canary trafficPercent values must be <= 100")
    for canary in canaries:
        fixed = {"maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "workerSpec"}
        if fixed & canary["predictor"].keys():
            wrong.append("a canary uses fixed replicas")
        if canary["predictor"].get("minReplicas", 0) > predictor.get("minReplicas", 1):
            wrong.append("canary minReplicas must not exceed stable predictor minReplicas")
    return wrong
