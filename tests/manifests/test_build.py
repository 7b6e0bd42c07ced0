"""Every overlay and component builds, offline, to objects that Kubernetes and KServe know."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shipway.components.lib.images import SERVE
from shipway.pipelines.specs import load_compiled
from tests.manifests.conftest import MANIFESTS, one
from tests.manifests.schemas import needs_crds, problems

OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir())
PATCHED = {"autoscaling": "InferenceService", "payload-logger": "InferenceService"}
CLUSTERED = {"ClusterRole", "ClusterRoleBinding", "ClusterServingRuntime"}
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
PARAMETER = re.compile(r"\bserving_[a-z]+")


def all_problems(objects: list[dict[str, Any]]) -> list[str]:
    return [sentence for obj in objects for sentence in problems(obj)]


def test_there_are_the_overlays_and_components_that_are_promised():
    assert {"dev", "prod"} <= set(OVERLAYS)
    credentials = {"gcs-credentials", "s3-credentials"}
    assert {"canary", "payload-logger", "monitoring"} | credentials <= set(COMPONENTS)


@needs_crds
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_builds_to_valid_objects_of_one_namespace(build, name):
    objects = build(MANIFESTS / "overlays" / name)
    assert all_problems(objects) == []
    assert len({obj["metadata"]["namespace"] for obj in objects}) == 1
    assert {obj["kind"] for obj in objects} & CLUSTERED == set()


@needs_crds
def test_what_a_cluster_needs_once_builds_to_valid_objects(build, prod):
    objects = build(MANIFESTS / "base/cluster")
    assert all_problems(objects) == []
    assert {o["metadata"].get("namespace", "") for o in objects if o["kind"] in CLUSTERED} == {""}
    containers = one(objects, "ClusterServingRuntime")["spec"]["containers"]
    assert containers == one(prod, "ServingRuntime")["spec"]["containers"]


@needs_crds
@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_changes_the_base_to_valid_objects(overlay, name):
    before = overlay()
    after = overlay(components=[f"components/{name}"])
    assert all_problems(after) == []
    changed = [obj for obj in after if obj not in before]
    assert changed
    if name in PATCHED:
        assert {obj["kind"] for obj in changed} == {PATCHED[name]}


@needs_crds
def test_all_components_go_together(overlay):
    objects = overlay(components=[f"components/{name}" for name in COMPONENTS])
    assert all_problems(objects) == []
    secrets = one(objects, "ServiceAccount")["secrets"]
    assert {secret["name"] for secret in secrets} == {"gcs-credentials", "s3-credentials"}


@needs_crds
@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        ("ServingRuntime", "/spec/containers/0/readinessProbe/httpGet/pth", "no such field: pth"),
        ("InferenceService", "/spec/predictor/minReplica", "no such field: minReplica"),
        ("NetworkPolicy", "/spec/ingress/0/form", "no such field: form"),
        ("PodDisruptionBudget", "/spec/maxAvailable", "no such field: maxAvailable"),
    ],
)
def test_a_typo_in_a_patch_is_found(overlay, kind, path, said):
    typo = [{"op": "add", "path": path, "value": 1}]
    objects = overlay(patches=[{"target": {"kind": kind}, "patch": yaml.safe_dump(typo)}])
    assert [said in sentence for sentence in all_problems(objects)] == [True]


@pytest.mark.parametrize("name", OVERLAYS)
def test_names_are_names_and_nothing_secret_is_built(build, name):
    for obj in build(MANIFESTS / "overlays" / name):
        assert NAME.fullmatch(obj["metadata"]["name"])
        assert obj["kind"] != "Secret"


@pytest.mark.parametrize("kind", ["PodDisruptionBudget", "NetworkPolicy", "PodMonitor"])
def test_selectors_choose_the_servers(prod, runtime, kind):
    spec = one(prod, kind)["spec"]
    chosen = (spec.get("selector") or spec.get("podSelector"))["matchLabels"]
    assert chosen.items() <= runtime["labels"].items()


def test_every_policy_of_a_component_chooses_the_servers(overlay, runtime):
    objects = overlay(components=[f"components/{name}" for name in COMPONENTS])
    policies = [obj for obj in objects if obj["kind"] == "NetworkPolicy"]
    assert len(policies) > 2
    for policy in policies:
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= runtime["labels"].items()


def test_traffic_is_closed_but_for_what_is_named(prod):
    spec = one(prod, "NetworkPolicy")["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert {} not in spec["ingress"] + spec["egress"]
    assert all(rule["from"] for rule in spec["ingress"])
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, 443, 15012}


def test_the_image_is_the_one_that_the_pipelines_run_and_never_a_moving_tag(runtime):
    image = runtime["containers"][0]["image"]
    assert image == SERVE
    assert not image.endswith(":latest")


def test_an_overlay_pins_the_image_by_its_digest(overlay):
    digest = f"sha256:{'0' * 64}"
    name = SERVE.rpartition(":")[0]
    objects = overlay(images=[{"name": name, "newName": "registry.example/s", "digest": digest}])
    (container,) = one(objects, "ServingRuntime")["spec"]["containers"]
    assert container["image"] == f"registry.example/s@{digest}"


def test_an_overlay_names_the_model_in_one_place(overlay):
    rename = [{"op": "replace", "path": "/metadata/name", "value": "trips"}]
    objects = overlay(
        components=["components/autoscaling", "components/payload-logger"],
        patches=[{"target": {"kind": "InferenceService"}, "patch": yaml.safe_dump(rename)}],
    )
    predictor = one(objects, "InferenceService", "trips")["spec"]["predictor"]
    assert {"logger", "maxReplicas"} == set(predictor)


def test_dev_asks_a_laptop_for_less(build, runtime):
    (dev,) = one(build(MANIFESTS / "overlays/dev"), "ServingRuntime")["spec"]["containers"]
    assert dev == runtime["containers"][0] | {"resources": dev["resources"]}
    assert dev["resources"]["requests"] == {"cpu": "100m", "memory": "384Mi"}


def test_a_comment_names_parameters_that_the_pipeline_has():
    files = [path for path in MANIFESTS.rglob("*") if path.suffix in (".yaml", ".md")]
    named = {name for path in files for name in PARAMETER.findall(path.read_text())}
    assert named >= {"serving_account", "serving_replicas", "serving_namespace"}
    assert named <= set(load_compiled("train-and-deploy").parameters)


def test_every_file_is_named_by_a_kustomization():
    for path in MANIFESTS.rglob("*.yaml"):
        if path.name != "kustomization.yaml":
            kustomization = Path(path.parent, "kustomization.yaml").read_text()
            assert path.name in kustomization, path
