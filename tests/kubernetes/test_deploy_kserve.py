import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shipway.components.deploy.kserve import deploy_kserve
from shipway.components.deploy.logic import deploy
from shipway.components.lib.cluster import Cluster
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ConfigurationError, EndpointError, StoreError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_store import DirectoryStore
from shipway.components.lib.serving import ServingRecord
from shipway.components.release.logic import release

SECONDS = 1.0


def bring_up(store: DirectoryStore, version: str = "1") -> ServingRecord:
    return deploy_kserve(store, version, "taxi", "team", SECONDS)


def let_go(
    record: ServingRecord, store: DirectoryStore, folder: Path, verdict: str = "pass"
) -> tuple[str, Decision]:
    record.save(folder / "record.json")
    Decision("endpoint", "taxi", [Rule("golden", verdict, "golden rows.")]).save(folder / "probe")
    paths = folder / "record.json", folder / "probe", folder / "decision"
    return release(*paths, "taxi", str(store.root)), Decision.load(folder / "decision")


def test_a_version_is_applied_and_waited_for(
    api: Any, kubernetes_api: ModuleType, store: DirectoryStore
) -> None:
    loading, ready = kubernetes_api.LOADING, kubernetes_api.READY
    api.statuses = [{}, loading, kubernetes_api.ROLLING, ready]
    record = bring_up(store)
    assert api.methods() == "GET PATCH GET GET GET GET"
    patch = api.asked[1]
    assert patch.path.endswith("/namespaces/team/inferenceservices/taxi")
    assert patch.query == {"fieldManager": "shipway", "force": "true"}
    assert patch.body["kind"] == "InferenceService"
    assert patch.body["metadata"]["annotations"] == {
        "shipway.dev/version": "1",
        "shipway.dev/digest": record.digest,
        "shipway.dev/code": "0.1.0",
    }
    model = patch.body["spec"]["predictor"]["model"]
    assert model["storageUri"] == "gs://models/taxi/versions/1"
    assert model["runtime"] == model["modelFormat"]["name"] == "shipway-xgboost"
    assert (record.target, record.version, record.namespace) == ("kserve", "1", "team")
    assert record.digest == sha256_of(store.download("taxi", "1") / "manifest.json")
    assert record.v1_url == kubernetes_api.URL + "v1/models/taxi:predict"
    assert record.v2_url == kubernetes_api.URL + "v2/models/taxi/infer"
    assert (record.previous, record.champion) == ("", "")


def test_the_record_keeps_what_stood_before(api: Any, store: DirectoryStore) -> None:
    bring_up(store, "1")
    first = api.objects["taxi"]
    store.promote("taxi", "1", None)
    record = bring_up(store, "2")
    assert json.loads(record.previous) == first  # without its status
    assert record.champion == "1"
    assert bring_up(store, "2").previous == record.previous


def test_a_version_that_does_not_come_up_leaves_what_stood_before(
    api: Any, kubernetes_api: ModuleType, store: DirectoryStore, tmp_path: Path
) -> None:
    let_go(bring_up(store, "1"), store, tmp_path)
    first = api.objects["taxi"]
    api.statuses = [kubernetes_api.BROKEN]
    with pytest.raises(EndpointError, match="ModelLoadFailed"):
        bring_up(store, "2")
    assert api.objects["taxi"] == first


def test_a_second_try_whose_probe_fails_goes_back_to_the_champion(
    api: Any, store: DirectoryStore, tmp_path: Path
) -> None:
    let_go(bring_up(store, "1"), store, tmp_path)
    first = api.objects["taxi"]
    bring_up(store, "2")  # and the run is interrupted here
    assert let_go(bring_up(store, "2"), store, tmp_path, "fail")[0] == "rolled_back"
    assert api.objects["taxi"] == first


def test_a_model_that_fails_to_load_is_told_with_its_words(
    api: Any, kubernetes_api: ModuleType, store: DirectoryStore
) -> None:
    api.statuses = [kubernetes_api.LOADING, kubernetes_api.BROKEN]
    with pytest.raises(EndpointError, match=r"versions/1: ModelLoadFailed model\.ubj: SHA-256"):
        bring_up(store)


@pytest.mark.parametrize("state", ["LOADING", "ROLLING"])
def test_a_wait_that_ends_tells_the_condition(
    state: str, api: Any, kubernetes_api: ModuleType, store: DirectoryStore
) -> None:
    api.statuses = [getattr(kubernetes_api, state)]
    reason = "pulling the image" if state == "LOADING" else "no condition"
    with pytest.raises(EndpointError, match=f"not ready after 1 s: {reason}.*kubectl describe"):
        bring_up(store)


def test_an_object_that_another_changed_is_not_taken_for_ours(
    api: Any, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up(store, "1")
    standing = api.objects["taxi"]
    apply = Cluster.apply

    def overtaken(cluster: Cluster, body: dict[str, Any]) -> dict[str, Any]:
        answer = apply(cluster, body)
        api.objects["taxi"] = standing
        return answer

    monkeypatch.setattr(Cluster, "apply", overtaken)
    with pytest.raises(EndpointError, match="not ready after"):
        bring_up(store, "2")


@pytest.mark.parametrize(("method", "verb"), [("GET", "get"), ("PATCH", "patch")])
def test_a_missing_right_is_told_with_its_rule(
    method: str, verb: str, api: Any, store: DirectoryStore
) -> None:
    api.refusals[method] = 403, "forbidden"
    with pytest.raises(EndpointError, match=f"Not allowed to {verb} .*'taxi'.*'team'") as caught:
        bring_up(store)
    assert "apiGroups: [serving.kserve.io], resources: [inferenceservices]" in str(caught.value)


@pytest.mark.parametrize("status", [409, 422, 500])
def test_a_refusal_is_told_with_its_message(status: int, api: Any, store: DirectoryStore) -> None:
    api.refusals["PATCH"] = status, "the webhook says no"
    with pytest.raises(EndpointError, match=f"patch.*'taxi'.*{status} the webhook says no"):
        bring_up(store)


@pytest.mark.parametrize(
    ("name", "namespace", "said"),
    [
        ("Taxi", "team", "lower-case"),
        ("1taxi", "team", "lower-case"),
        ("taxi_fares", "team", "lower-case"),
        ("taxi-", "team", "lower-case"),
        ("t" * 40, "n" * 20, r"71 characters; 63 are allowed\. Shorten model_name by 8"),
    ],
)
def test_a_name_that_cannot_be_a_host_is_refused_before_any_request(
    name: str, namespace: str, said: str, api: Any, store: DirectoryStore
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        deploy_kserve(store, "1", name, namespace, SECONDS)
    assert api.asked == []


def test_a_store_that_no_cluster_reaches_is_refused_before_any_request(
    api: Any, store: DirectoryStore
) -> None:
    with pytest.raises(ConfigurationError, match=r"file://.*bucket"):
        deploy("1", "taxi", str(store.root), "kserve", "team", 8080)
    assert api.asked == []


def test_a_missing_version_asks_nothing_of_the_cluster(api: Any, store: DirectoryStore) -> None:
    with pytest.raises(StoreError, match="no version '9'"):
        bring_up(store, "9")
    assert api.asked == []


def test_an_unknown_target_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="'kserv' is unknown.*Did you mean 'kserve'"):
        deploy("1", "taxi", "store", "kserv", "team", 8080)


def test_a_cluster_that_does_not_answer_is_told(
    api: Any, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = json.loads((tmp_path / "kubeconfig").read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    with pytest.raises(EndpointError, match="could not be reached to get"):
        bring_up(store)


def test_a_release_moves_the_champion_and_leaves_the_object(
    api: Any, store: DirectoryStore, tmp_path: Path
) -> None:
    record = bring_up(store)
    assert let_go(record, store, tmp_path)[0] == "promoted"
    assert let_go(record, store, tmp_path)[0] == "promoted"
    assert store.champion("taxi").version == "1"
    assert api.objects["taxi"]["spec"]["predictor"]["model"]["storageUri"].endswith("/1")


def test_a_failed_probe_applies_again_what_stood_before(
    api: Any, store: DirectoryStore, tmp_path: Path
) -> None:
    let_go(bring_up(store, "1"), store, tmp_path)
    first = api.objects["taxi"]
    outcome, decision = let_go(bring_up(store, "2"), store, tmp_path, "fail")
    assert (outcome, decision.verdict) == ("rolled_back", "fail")
    assert api.objects["taxi"] == first
    assert store.champion("taxi").version == "1"


def test_a_first_deployment_that_fails_its_probe_is_removed(
    api: Any, store: DirectoryStore, tmp_path: Path
) -> None:
    record = bring_up(store)
    assert let_go(record, store, tmp_path, "fail")[0] == "rolled_back"
    assert api.objects == {}
    assert let_go(record, store, tmp_path, "fail")[0] == "rolled_back"  # it is gone already
    assert store.champion("taxi") is None


def test_a_champion_deployed_again_is_not_removed(
    api: Any, store: DirectoryStore, tmp_path: Path
) -> None:
    let_go(bring_up(store), store, tmp_path)
    assert let_go(bring_up(store), store, tmp_path, "fail")[0] == "rolled_back"
    assert "taxi" in api.objects


def test_a_champion_that_moved_meanwhile_rolls_back(
    api: Any, store: DirectoryStore, tmp_path: Path
) -> None:
    let_go(bring_up(store, "1"), store, tmp_path)
    first = api.objects["taxi"]
    record = bring_up(store, "2")
    (tmp_path / "other").mkdir()
    for path in (tmp_path / "1").iterdir():
        (tmp_path / "other" / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((tmp_path / "other" / "manifest.json").read_text())
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(manifest | {"seed": 1}))
    store.promote("taxi", store.register("taxi", tmp_path / "other", {}), "1")
    outcome, decision = let_go(record, store, tmp_path)
    assert outcome == "rolled_back"
    assert "is version 3, not 1" in decision.failures[0].sentence
    assert api.objects["taxi"] == first
