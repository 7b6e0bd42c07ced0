"""The checks themselves catch what they are for."""

from copy import deepcopy
from typing import Any

import pytest

from tests.manifests.schemas import needs_crds, problems

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "churn"},
    "spec": {
        "selector": {"matchLabels": {"app": "churn"}},
        "template": {
            "metadata": {"labels": {"app": "churn"}},
            "spec": {
                "containers": [
                    {
                        "name": "server",
                        "image": "server:1",
                        "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
                        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
                    }
                ]
            },
        },
    },
}
SERVICE: dict[str, Any] = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "churn", "namespace": "models"},
    "spec": {
        "predictor": {
            "minReplicas": 1,
            "model": {"modelFormat": {"name": "shipway-xgboost"}, "storageUri": "gs://b/m/1"},
        },
        "canary": [
            {
                "trafficPercent": 10,
                "predictor": {
                    "name": "v2",
                    "model": {"name": "", "modelFormat": {"name": "shipway-xgboost"}},
                },
            }
        ],
    },
}


def changed(obj: dict[str, Any], path: str, **fields: object) -> dict[str, Any]:
    """A copy with fields set in the part at a path; a field set to None is removed."""
    copy = deepcopy(obj)
    part: Any = copy
    for key in path.split("."):
        part = part[int(key) if key.isdecimal() else key]
    part.update(fields)
    for name in [name for name, value in fields.items() if value is None]:
        del part[name]
    return copy


@pytest.mark.parametrize(
    "obj", [DEPLOYMENT, pytest.param(SERVICE, marks=needs_crds)], ids=["core", "custom"]
)
def test_a_valid_object_has_no_problems(obj):
    assert problems(obj) == []


CONTAINER = "spec.template.spec.containers.0"


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("metadata", {"label": {}}, "metadata: no such field: label"),
        (f"{CONTAINER}.readinessProbe.httpGet", {"pth": "/"}, "httpGet: no such field: pth"),
        (f"{CONTAINER}.readinessProbe.httpGet", {"port": None}, "'port' is a required property"),
        (CONTAINER, {"ports": [{"containerPort": "x"}]}, "'x' is not of type 'integer'"),
        (f"{CONTAINER}.resources.limits", {"memory": ["1Gi"]}, "limits.memory: ['1Gi']"),
        ("spec.template.spec", {"containers": [{"name": "a"}] * 2}, "the same by name"),
        ("spec", {"replicas": "two"}, "spec.replicas: 'two'"),
    ],
)
def test_core_kinds_are_checked_at_any_depth(path, fields, said):
    (found,) = problems(changed(DEPLOYMENT, path, **fields))
    assert found.startswith("Deployment 'churn': ")
    assert said in found


@needs_crds
@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("spec.predictor.model", {"storageURI": "gs://b"}, "model: no such field: storageURI"),
        ("spec.canary.0.predictor.model", {"name": None}, "'name' is a required property"),
        ("spec.canary.0", {"trafficPercent": 101}, "trafficPercent: 101 is greater"),
        ("spec.predictor", {"scaleMetric": "latency"}, "'latency' is not one of"),
        ("spec.predictor", {"minReplicas": "1"}, "minReplicas: '1' is not of type 'integer'"),
        ("spec.predictor.model", {"resources": {"limits": {"cpu": [1]}}}, "limits.cpu: [1]"),
        ("spec", {"predictor": None}, "'predictor' is a required property"),
        ("metadata", {"annotations": {"a": 1}}, "annotations.a: 1 is not of type 'string'"),
    ],
)
def test_custom_kinds_are_checked_at_any_depth(path, fields, said):
    (found,) = problems(changed(SERVICE, path, **fields))
    assert found.startswith("InferenceService 'churn': ")
    assert said in found


@needs_crds
@pytest.mark.parametrize("cpu", [1, "500m"])
def test_a_quantity_is_a_number_or_text(cpu):
    resources = {"limits": {"cpu": cpu}}
    assert problems(changed(SERVICE, "spec.predictor.model", resources=resources)) == []


def test_a_kind_without_a_schema_is_a_problem():
    (found,) = problems({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {}})
    assert found == "Thing '': there is no schema for example.com/v1 Thing."
