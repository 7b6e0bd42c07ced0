"""A candidate comes up beside what serves, in both deployment modes."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shipway.components.deploy.kserve import KServeTarget
from shipway.components.deploy.logic import deploy
from shipway.components.lib.access import RULES
from shipway.components.lib.errors import ConfigurationError, EndpointError, StoreError
from shipway.components.lib.files import sha256_of

CLUSTER = "svc.cluster.local"
BringUp = Callable[..., Any]


def predictor_of(world: Any) -> dict[str, Any]:
    return world.service["spec"]["predictor"]


def test_a_first_version_takes_all_traffic(world: Any, mode: str, bring_up: BringUp) -> None:
    record = bring_up("1")
    (body,) = world.api.writes
    assert body["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == mode
    model = body["spec"]["predictor"]["model"]
    assert model["storageUri"] == "gs://models/taxi/versions/1"
    assert model["runtime"] == model["modelFormat"]["name"] == "shipway-xgboost"
    service = "taxi" if mode == "Knative" else "taxi-predictor"
    assert record.endpoint == record.stable_endpoint == f"http://{service}.team.{CLUSTER}"
    assert record.digest == sha256_of(world.store.download("taxi", "1") / "manifest.json")
    assert (record.target, record.version, record.champion) == ("kserve", "1", "")
    assert world.share("1") == 100


def test_a_candidate_takes_no_traffic_and_answers_alone(
    world: Any, mode: str, bring_up: BringUp
) -> None:
    first = bring_up("1")
    world.store.promote("taxi", "1", None)
    record = bring_up("2")
    assert (world.share("1"), world.share("2")) == (100, 0)
    host = "latest-taxi-predictor" if mode == "Knative" else "taxi-v2-predictor"
    assert record.endpoint == f"http://{host}.team.{CLUSTER}"
    assert record.stable_endpoint == first.endpoint
    assert world.network.server(f"{host}.team.x") is world.server("2")
    assert record.champion == "1"


def test_the_candidate_leaves_the_pods_that_serve_alone(
    world: Any, mode: str, bring_up: BringUp
) -> None:
    bring_up("1")
    if mode == "Knative":
        revisions = {key for key in world.api.objects if key[0] == "revisions"}
        bring_up("2")
        assert revisions < {key for key in world.api.objects if key[0] == "revisions"}
    else:
        deployment = world.api.objects["deployments", "team", "taxi-predictor"]
        bring_up("2")
        assert deployment["metadata"]["generation"] == 1


def test_what_others_set_on_the_service_stays(world: Any, mode: str, bring_up: BringUp) -> None:
    bring_up("1")
    predictor_of(world)["model"]["resources"] = {"limits": {"cpu": "7"}}
    predictor_of(world)["timeout"] = 30
    bring_up("2")
    assert predictor_of(world)["model"]["resources"] == {"limits": {"cpu": "7"}}
    assert predictor_of(world)["timeout"] == 30
    for body in world.api.writes:
        assert "timeout" not in body["spec"]["predictor"]


@pytest.mark.parametrize("behaviour", [{"slow": 3}, {"stale": 3}, {"slow": 2, "stale": 2}])
def test_the_wait_is_not_fooled_by_what_is_ready_already(
    behaviour: dict[str, int], world: Any, mode: str, bring_up: BringUp
) -> None:
    bring_up("1")
    vars(world.script).update(behaviour)
    record = bring_up("2", seconds=10)
    assert world.network.server(record.endpoint.removeprefix("http://")) is world.server("2")


@pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ImagePullBackOff"])
def test_a_server_that_cannot_start_ends_the_wait_in_its_own_words(
    reason: str, world: Any, mode: str, bring_up: BringUp
) -> None:
    bring_up("1")
    world.script.broken = {world.store.uri("taxi", "2"): reason}
    words = "exit code 3: .*SHA-256 differs" if reason == "CrashLoopBackOff" else "of the image"
    with pytest.raises(EndpointError, match=f"cannot serve version 2: .*{reason}.*{words}"):
        bring_up("2", seconds=60)


def test_a_load_failure_without_pods_is_told_from_the_status(world: Any, bring_up: BringUp) -> None:
    world.script.broken = {world.store.uri("taxi", "1"): "status"}
    with pytest.raises(EndpointError, match="version 1: ModelLoadFailed .*SHA-256 differs"):
        bring_up("1", seconds=4)


def test_a_version_that_does_not_come_up_is_taken_away(
    world: Any, mode: str, bring_up: BringUp
) -> None:
    bring_up("1")
    before = predictor_of(world)["model"]["storageUri"]
    world.script.broken = {world.store.uri("taxi", "2"): "CrashLoopBackOff"}
    with pytest.raises(EndpointError):
        bring_up("2", seconds=5)
    assert predictor_of(world)["model"]["storageUri"] == before
    assert "canary" not in world.service["spec"]
    assert "canaryTrafficPercent" not in predictor_of(world)
    assert world.share("1") == 100


def test_a_first_version_that_does_not_come_up_is_removed(
    world: Any, mode: str, bring_up: BringUp
) -> None:
    world.script.broken = {world.store.uri("taxi", "1"): "CrashLoopBackOff"}
    with pytest.raises(EndpointError):
        bring_up("1")
    assert world.service is None


def test_a_wait_that_ends_tells_what_was_missing(world: Any, bring_up: BringUp) -> None:
    world.script.slow = 10_000
    with pytest.raises(EndpointError, match="not as asked after 1 s: .*kubectl describe"):
        bring_up("1", seconds=1)


def test_the_same_version_again_changes_nothing(world: Any, mode: str, bring_up: BringUp) -> None:
    first = bring_up("1")
    generation = world.service["metadata"]["generation"]
    assert bring_up("1") == first or mode  # the plan says that it is settled
    assert world.service["metadata"]["generation"] == generation
    assert world.share("1") == 100


def test_a_candidate_deployed_again_still_goes_back_to_what_served(
    world: Any, mode: str, bring_up: BringUp
) -> None:
    bring_up("1")
    world.store.promote("taxi", "1", None)
    plans = [json.loads(bring_up("2").plan) for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0]["previous"]["model"]["storageUri"].endswith("/1")


def test_a_third_version_takes_the_place_of_a_candidate_that_was_left(
    world: Any, mode: str, bring_up: BringUp
) -> None:
    bring_up("1")
    world.store.promote("taxi", "1", None)
    bring_up("2")  # and its run is interrupted
    record = bring_up("3")
    assert json.loads(record.plan)["previous"]["model"]["storageUri"].endswith("/1")
    assert (world.share("1"), world.share("2"), world.share("3")) == (100, 0, 0)
    assert world.network.server(record.endpoint.removeprefix("http://")) is world.server("3")


# What is refused before anything is written


@pytest.mark.parametrize(
    ("name", "namespace", "said"),
    [
        ("Taxi", "team", "lower-case"),
        ("1taxi", "team", "lower-case"),
        ("taxi_fares", "team", "lower-case"),
        ("taxi-", "team", "lower-case"),
        ("t" * 40, "n" * 20, r"78 characters; 63 are allowed\. Shorten model_name by 15"),
        ("t" * 55, "n", r"74 characters"),
    ],
)
def test_a_name_that_cannot_be_a_host_is_refused(
    name: str, namespace: str, said: str, world: Any
) -> None:
    from shipway.components.deploy.kserve import deploy_kserve

    with pytest.raises(ConfigurationError, match=said):
        deploy_kserve(world.store, "1", name, KServeTarget(namespace))
    assert world.api.asked == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.resource}")
def test_each_missing_right_is_named_as_a_rule(rule: Any, world: Any, bring_up: BringUp) -> None:
    world.script.default_mode = rule.mode or "Standard"
    if rule.mode == "Knative":
        world.api.groups.add("serving.knative.dev")
    verbs = [verb for verb in rule.verbs if (verb, rule.resource) != ("get", "inferenceservices")]
    world.api.denied = {(verb, rule.group, rule.resource) for verb in verbs}
    with pytest.raises(ConfigurationError) as caught:
        bring_up("1")
    wanted = f'apiGroups: ["{rule.group}"], resources: ["{rule.resource}"], verbs: '
    assert wanted + f"[{', '.join(verbs)}]" in str(caught.value)
    assert world.api.writes == []


def test_a_right_to_read_the_service_is_asked_for_too(world: Any, bring_up: BringUp) -> None:
    world.api.denied = {("get", "serving.kserve.io", "inferenceservices")}
    with pytest.raises(EndpointError, match="Not allowed to get .*pipeline-runner.*manifests/base"):
        bring_up("1")


def test_a_share_that_nothing_routes_is_refused_with_the_choices(
    world: Any, bring_up: BringUp
) -> None:
    bring_up("1")  # Standard mode, without the Gateway API
    count = len(world.api.writes)
    with pytest.raises(ConfigurationError, match="Gateway API alone.*enableGatewayApi.*Knative"):
        bring_up("2", traffic_steps=(10, 100))
    assert len(world.api.writes) == count


def test_a_transformer_keeps_a_canary_from_a_share(world: Any, bring_up: BringUp) -> None:
    world.script.gateway = True
    bring_up("1")
    world.service["spec"]["transformer"] = {"containers": []}
    with pytest.raises(ConfigurationError, match="transformer"):
        bring_up("2", traffic_steps=(10, 100))


@pytest.mark.parametrize("steps", [(), (10,), (50, 10, 100), (0.5, 100), (-1, 100), (100, 100)])
def test_steps_that_do_not_rise_to_all_are_refused(
    steps: tuple[float, ...], world: Any, bring_up: BringUp
) -> None:
    with pytest.raises(ConfigurationError, match="rise to 100"):
        bring_up("1", traffic_steps=steps)
    assert world.api.asked == []


def test_a_service_that_another_made_is_left_alone(world: Any, bring_up: BringUp) -> None:
    bring_up("1")
    world.service["metadata"]["labels"] = {}
    with pytest.raises(ConfigurationError, match="not made by Shipway.*kubectl label"):
        bring_up("2")


def test_a_mode_cannot_be_changed(world: Any, bring_up: BringUp) -> None:
    bring_up("1")
    with pytest.raises(ConfigurationError, match="Standard mode, which cannot change to Knative"):
        bring_up("2", mode="Knative")
    with pytest.raises(ConfigurationError, match="'Serverles' is unknown"):
        bring_up("2", mode="Serverles")


@pytest.mark.parametrize(
    ("deploy_config", "groups", "found"),
    [
        ('{"defaultDeploymentMode": "RawDeployment"}', {"serving.knative.dev"}, "Standard"),
        ('{"defaultDeploymentMode": "Knative"}', set(), "Knative"),
        ("no JSON", {"serving.knative.dev"}, "Knative"),
        (None, set(), "Standard"),
    ],
)
def test_the_mode_is_that_of_the_cluster(
    deploy_config: str | None, groups: set[str], found: str, world: Any, bring_up: BringUp
) -> None:
    world.api.groups = groups
    if deploy_config is not None:
        config = {
            "metadata": {"name": "inferenceservice-config"},
            "data": {"deploy": deploy_config},
        }
        world.api.objects["configmaps", "kserve", "inferenceservice-config"] = config
    bring_up("1")
    annotations = world.service["metadata"]["annotations"]
    assert annotations["serving.kserve.io/deploymentMode"] == found


def test_kubeflows_own_scheme_becomes_one_that_kserve_reads(
    world: Any, bring_up: BringUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(world.store), "uri", lambda *_: "minio://mlpipeline/taxi/1")
    bring_up("1")
    assert predictor_of(world)["model"]["storageUri"] == "s3://mlpipeline/taxi/1"


def test_a_store_that_no_cluster_reaches_is_refused(world: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"file://.*bucket"):
        deploy("1", "taxi", str(world.store.root), "kserve", 8080, KServeTarget("team"))
    assert world.api.asked == []


def test_a_missing_version_asks_nothing_of_the_cluster(world: Any, bring_up: BringUp) -> None:
    with pytest.raises(StoreError, match="no version '9'"):
        bring_up("9")
    assert world.api.asked == []


def test_an_unknown_target_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="'kserv' is unknown.*Did you mean 'kserve'"):
        deploy("1", "taxi", "store", "kserv", 8080, KServeTarget())


def test_a_local_endpoint_has_no_shares() -> None:
    with pytest.raises(ConfigurationError, match="needs a cluster"):
        deploy("1", "taxi", "store", "local", 8080, KServeTarget(traffic_steps=(10, 100)))
