"""The ServingRuntime: what it starts comes up, is probed where it answers, and is confined."""

import re

import pytest

from shipway.components.lib.inference_service import MODEL_FORMAT, RUNTIME
from shipway.components.predictor.settings import parse_settings
from tests.manifests.conftest import one
from tests.manifests.schemas import problems

# Knative's webhook refuses these; https://github.com/knative/serving/pull/15309 lets probes in.
REFUSED_BY_KNATIVE = {"lifecycle", "stdin", "stdinOnce", "tty", "volumeDevices"}
REFUSED_IN_PODS = {"affinity", "nodeSelector", "tolerations", "schedulerName", "hostIPC"}
GRACE_SECONDS = 30  # KServe sets no other


@pytest.fixture(scope="module")
def container(runtime):
    (found,) = runtime["containers"]
    return found


def deployment(spec: dict) -> dict:
    labels = {"app": "churn"}
    pod = {key: spec[key] for key in ("containers", "volumes", "affinity") if key in spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "churn"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def test_the_deployer_finds_it_and_kserve_can_choose_it_for_our_format_alone(prod, runtime):
    assert one(prod, "ServingRuntime")["metadata"]["name"] == RUNTIME
    chosen = {f["name"]: f["autoSelect"] for f in runtime["supportedModelFormats"]}
    assert chosen == {MODEL_FORMAT: True, "xgboost": False}


def test_its_arguments_are_the_servers_and_take_the_deployers(container):
    arguments = [text.replace("{{.Name}}", "churn") for text in container["args"]]
    settings = parse_settings([*arguments, "--model_version=7"])
    assert (settings.model_name, settings.model_version) == ("churn", "7")
    assert settings.http_port == container["ports"][0]["containerPort"]


def test_no_other_template_stands_in_it(runtime):
    # KServe reads the container as one Go template; any other `{{` breaks it.
    assert set(re.findall(r"\{\{.*?\}\}", str(runtime))) == {"{{.Name}}"}


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_asks_where_the_server_answers(server, container, probe):
    get = container[probe]["httpGet"]
    assert server.get(get["path"].replace("{{.Name}}", "churn")).status_code == 200
    assert get["port"] == container["ports"][0]["containerPort"]


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe"])
def test_ready_is_the_model_and_not_the_server(server, container, probe):
    path = container[probe]["httpGet"]["path"]
    assert server.get(path.replace("{{.Name}}", "another")).status_code == 404


def test_metrics_are_where_the_annotations_say(server, runtime, container):
    for prefix in ("prometheus.kserve.io", "prometheus.io"):
        assert server.get(runtime["annotations"][f"{prefix}/path"]).status_code == 200
        port = runtime["annotations"][f"{prefix}/port"]
        assert port == str(container["ports"][0]["containerPort"])


def test_it_meets_the_restricted_pod_security_standard(container):
    context = container["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] >= 1000  # a numeric user, or kubelet cannot tell that it is no root
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_it_can_write_to_tmp_alone_and_not_without_bound(runtime, container):
    (mount,) = container["volumeMounts"]
    (volume,) = runtime["volumes"]
    assert mount == {"name": volume["name"], "mountPath": "/tmp"}
    assert volume["emptyDir"]["sizeLimit"]


def test_it_asks_for_no_more_than_its_limit(container):
    assert set(container["resources"]) == {"requests", "limits"}
    for part in container["resources"].values():
        assert set(part) == {"cpu", "memory"}


def test_knative_takes_it_and_its_containers_are_kubernetes_own(runtime, container):
    assert REFUSED_BY_KNATIVE & set(container) == set()
    assert REFUSED_IN_PODS & set(runtime) == set()
    assert problems(deployment(runtime)) == []


def test_in_standard_mode_a_server_drains_until_the_gateways_know(overlay, container):
    spec = one(overlay(components=["components/standard-mode"]), "ServingRuntime")["spec"]
    (drained,) = spec["containers"]
    assert drained["args"][:-1] == container["args"]
    settings = parse_settings(drained["args"])
    assert settings.drain_seconds >= 5
    assert settings.drain_seconds + settings.grace_seconds < GRACE_SECONDS
    assert problems(deployment(spec)) == []
