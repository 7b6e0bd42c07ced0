"""The Role grants what the deployer asks for, and nothing beyond."""

from itertools import product

from shipway.components.deploy.mode import CONFIG, CONFIG_NAMESPACE
from shipway.components.lib.access import RULES, TRAINING
from tests.manifests.conftest import MANIFESTS, one

Grant = tuple[str, str, str]
NEEDED: set[Grant] = {(rule.group, rule.resource, verb) for rule in RULES for verb in rule.verbs}

# Of the rules of Kubeflow's ClusterRole kubeflow-edit (github.com/kubeflow/community-distribution,
# common/kubeflow-roles and applications/kserve, June 2026), those that the deployer needs.
KUBEFLOW_EDIT: set[Grant] = {
    *product(["serving.kserve.io"], ["inferenceservices"], ["get", "create", "patch", "delete"]),
    ("serving.knative.dev", "revisions", "get"),
    ("apps", "deployments", "get"),
    ("", "pods", "list"),
    ("", "pods/log", "get"),
}


def grants(role: dict) -> set[Grant]:
    return {
        grant
        for rule in role["rules"]
        for grant in product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


def test_the_role_grants_each_rule_and_nothing_beyond(build):
    role = one(build(MANIFESTS / "overlays/dev"), "Role")
    assert grants(role) == NEEDED
    assert all("resourceNames" not in rule for rule in role["rules"])


def test_it_is_bound_to_the_account_of_standalone_pipelines(build):
    objects = build(MANIFESTS / "overlays/prod")
    binding = one(objects, "RoleBinding")
    assert binding["roleRef"]["name"] == one(objects, "Role")["metadata"]["name"]
    account = {"kind": "ServiceAccount", "name": "pipeline-runner", "namespace": "kubeflow"}
    assert binding["subjects"] == [account]


def test_multi_user_kubeflow_gets_what_kubeflow_edit_lacks_and_nothing_beyond(build):
    role = one(build(MANIFESTS / "base/cluster"), "ClusterRole")
    label = "rbac.authorization.kubeflow.org/aggregate-to-kubeflow-edit"
    assert role["metadata"]["labels"] == {label: "true"}
    assert grants(role) == NEEDED - KUBEFLOW_EDIT


def test_kserves_configuration_alone_can_be_read_outside_the_namespace(build):
    objects = build(MANIFESTS / "base/cluster")
    role, binding = one(objects, "Role"), one(objects, "RoleBinding")
    assert {role["metadata"]["namespace"], binding["metadata"]["namespace"]} == {CONFIG_NAMESPACE}
    assert grants(role) == {("", "configmaps", "get")}
    assert [rule["resourceNames"] for rule in role["rules"]] == [[CONFIG]]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_model_servers_have_no_rights(build):
    objects = build(MANIFESTS / "overlays/prod")
    account = one(objects, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    bound = [subject["name"] for subject in one(objects, "RoleBinding")["subjects"]]
    assert account["metadata"]["name"] not in bound


def test_a_step_with_several_workers_gets_what_it_asks_for_and_nothing_beyond(overlay):
    objects = overlay(components=["components/training"])
    needed = {(rule.group, rule.resource, verb) for rule in TRAINING for verb in rule.verbs}
    assert grants(one(objects, "Role", "shipway-trainer")) == needed
    binding = one(objects, "RoleBinding", "shipway-trainer")
    assert binding["subjects"] == one(objects, "RoleBinding", "shipway-deployer")["subjects"]
