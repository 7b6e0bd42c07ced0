"""A candidate takes over by steps, and everything goes back when a step breaks a bound."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.release_policy import ReleasePolicy
from shipway.components.probe.logic import probe
from shipway.components.release import bake, logic
from shipway.components.release.logic import release

BringUp = Callable[..., Any]
LetGo = Callable[..., tuple[str, Decision]]


@pytest.fixture
def let_go(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LetGo:
    monkeypatch.setattr(logic, "open_store", lambda uri: world.store)
    monkeypatch.setattr(bake, "PAUSE_SECONDS", 0.02)

    def letting(record: Any, verdict: str = "pass", **policy: Any) -> tuple[str, Decision]:
        record.save(tmp_path / "record")
        rule = Rule("golden", verdict, "golden rows.")
        Decision("endpoint", "taxi", [rule]).save(tmp_path / "probe")
        names = ("record", "probe", "decision", "page")
        paths = [tmp_path / name for name in names]
        outcome = release(*paths, "taxi", "store", ReleasePolicy(**policy))
        return outcome, Decision.load(tmp_path / "decision")

    return letting


@pytest.fixture
def first(mode: str, bring_up: BringUp, let_go: LetGo, world: Any) -> Any:
    """Version 1 serves; the world knows no mode but `mode`."""
    world.script.gateway = True
    record = bring_up("1")
    assert let_go(record)[0] == "promoted"
    return record


def standing(world: Any) -> tuple[str, int, str]:
    """The version of the stable predictor, its share, and the champion."""
    uri = world.service["spec"]["predictor"]["model"]["storageUri"]
    version = uri.rsplit("/", 1)[1]
    return version, world.share(version), world.store.champion("taxi").version


def test_the_probe_and_the_release_work_through_the_clusters_network(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo, tmp_path: Path
) -> None:
    record = bring_up("2")
    record.save(tmp_path / "record.json")
    paths = tmp_path / "d.json", tmp_path / "r.html"
    verdict, _ = probe(tmp_path / "record.json", world.store.download("taxi", "2"), *paths)
    assert verdict == "pass"
    assert {host for host, _ in world.network.seen[-50:]} == {record.endpoint[7:]}
    assert let_go(record)[0] == "promoted"
    assert standing(world) == ("2", 100, "2")


def test_each_step_has_its_share_and_its_rules(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = []
    monkeypatch.setattr(
        logic.__name__.replace("logic", "kserve") + ".bake",
        lambda *a: shares.append(world.share("2")) or bake.bake(*a),
    )
    steps = (0, 10, 50, 100)
    outcome, decision = let_go(bring_up("2"), traffic_steps=steps, maximum_latency_ms=60_000)
    assert outcome == "promoted", decision.failures
    told = [f"{share}% of the traffic" for share in steps]
    for name in ("error_rate", "identity", "parity", "latency_p95_ms"):
        assert [rule.slice for rule in decision.rules if rule.name == name] == told
    if world.script.default_mode == "Knative":
        assert shares[0] == 0 and shares[3] == 100
        assert 5 < shares[1] < 20 and 40 < shares[2] < 60
    assert standing(world) == ("2", 100, "2")
    assert "canary" not in world.service["spec"]
    assert "canaryTrafficPercent" not in world.service["spec"]["predictor"]


def test_a_route_gets_the_canarys_weight_in_standard_mode(
    world: Any, bring_up: BringUp, let_go: LetGo, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.script.gateway = True
    let_go(bring_up("1"))
    weights = []

    def looking(*arguments: Any) -> Any:
        route = world.api.objects["httproutes", "team", "taxi"]["spec"]["rules"][0]["backendRefs"]
        weights.append({ref["name"]: ref["weight"] for ref in route})
        return bake.bake(*arguments)

    monkeypatch.setattr("shipway.components.release.kserve.bake", looking)
    assert let_go(bring_up("2"), traffic_steps=(10, 100))[0] == "promoted"
    assert weights[0] == {"taxi-predictor": 90, "taxi-v2-predictor": 10}


def test_a_failed_probe_gives_nothing_away(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    outcome, decision = let_go(bring_up("2"), "fail")
    assert outcome == "rolled_back"
    assert decision.rules[-1].sentence == f"Version 1 answers again at {first.stable_endpoint}."
    assert standing(world) == ("1", 100, "1")
    assert world.share("2") == 0
    assert "canary" not in world.service["spec"]


@pytest.mark.parametrize(
    ("defect", "rule"),
    [
        ({"status": 500}, "error_rate"),
        ({"shift": 1e-3}, "parity"),
        ({"digest": "f" * 64}, "identity"),
    ],
)
@pytest.mark.parametrize("steps", [(10, 100), (100,)])
def test_a_step_that_breaks_a_bound_goes_back_and_proves_it(
    defect: dict[str, Any],
    rule: str,
    steps: tuple[int, ...],
    world: Any,
    first: Any,
    bring_up: BringUp,
    let_go: LetGo,
) -> None:
    record = bring_up("2")
    vars(world.server("2")).update(defect)
    outcome, decision = let_go(record, traffic_steps=steps)
    assert outcome == "rolled_back"
    assert {one.name for one in decision.failures} <= {rule, "changed_over", "parity"}
    assert "Version 1 answers again" in decision.rules[-1].sentence
    assert standing(world) == ("1", 100, "1")


def test_a_slow_candidate_goes_back(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    outcome, decision = let_go(bring_up("2"), maximum_latency_ms=1e-6)
    assert outcome == "rolled_back"
    assert [one.name for one in decision.failures] == ["latency_p95_ms"]
    assert standing(world) == ("1", 100, "1")


def test_errors_within_the_bound_pass(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    record, server = bring_up("2"), world.server("2")
    answer, count = server.answer, iter(range(10_000))
    server.answer = lambda *a: (503, {}) if next(count) % 30 == 15 else answer(*a)
    assert let_go(record, maximum_error_rate=0.1)[0] == "promoted"


def test_a_bake_lasts_as_long_as_it_is_asked_to(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    _, decision = let_go(bring_up("2"), bake_seconds=2.0)
    assert next(rule.n for rule in decision.rules if rule.name == "error_rate") > 25


def test_a_route_that_still_leads_to_the_old_version_is_no_success(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = bring_up("2")
    old, route = world.server("1"), world.network.server
    stable = record.stable_endpoint.removeprefix("http://")
    monkeypatch.setattr(world.network, "server", lambda h: old if h == stable else route(h))
    outcome, decision = let_go(record)
    assert outcome == "rolled_back"
    assert decision.failures[0].name == "changed_over"
    assert old.digest[:12] in decision.failures[0].sentence


def test_a_canary_that_gets_no_weight_goes_back(
    world: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    world.script.gateway = world.script.unrouted = True
    let_go(bring_up("1"))
    outcome, decision = let_go(bring_up("2"), traffic_steps=(10, 100))
    assert outcome == "rolled_back"
    assert "HTTPRoute 'taxi' gives {'taxi-predictor': 100}" in decision.failures[0].sentence
    assert standing(world) == ("1", 100, "1")


def test_a_revision_that_knative_has_collected_is_made_again(
    world: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    world.script.default_mode, world.script.collected = "Knative", True
    world.api.groups.add("serving.knative.dev")
    let_go(bring_up("1"))
    record = bring_up("2")
    world.server("2").status = 500
    assert let_go(record)[0] == "rolled_back"
    assert standing(world) == ("1", 100, "1")


def test_a_rollback_never_gives_the_candidate_more_than_it_had(
    world: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    world.script.default_mode, world.script.slow = "Knative", 3
    world.api.groups.add("serving.knative.dev")
    let_go(bring_up("1"))
    record = bring_up("2")
    shares, seen = [], world.api.seen

    def watching(obj: dict[str, Any]) -> None:
        seen(obj)
        if obj.get("kind") == "InferenceService":
            shares.append(world.share("2"))

    world.api.seen = watching
    assert let_go(record, "fail")[0] == "rolled_back"
    assert max(shares) == 0
    assert standing(world) == ("1", 100, "1")


def test_a_first_version_that_fails_its_probe_is_removed(
    world: Any, mode: str, bring_up: BringUp, let_go: LetGo
) -> None:
    record = bring_up("1")
    for _ in range(2):  # the second time it is gone already
        outcome, decision = let_go(record, "fail")
        assert outcome == "rolled_back"
        assert "nothing served before" in decision.rules[-1].sentence
    assert world.service is None
    assert world.store.champion("taxi") is None


def test_a_champion_deployed_again_is_never_removed(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    assert let_go(bring_up("1"), "fail")[0] == "rolled_back"
    assert standing(world) == ("1", 100, "1")


def test_a_version_that_was_rolled_back_can_be_deployed_again(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    let_go(bring_up("2"), "fail")
    assert let_go(bring_up("2"))[0] == "promoted"
    assert let_go(bring_up("3"))[0] == "promoted"
    assert standing(world) == ("3", 100, "3")
    previous = json.loads(world.service["spec"]["predictor"]["annotations"]["shipway.dev/previous"])
    assert previous["annotations"]["shipway.dev/version"] == "2"


def test_of_two_releases_at_once_the_later_deployment_stays(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    second, third = bring_up("2"), bring_up("3")
    outcome, decision = let_go(second)
    assert outcome == "rolled_back"
    assert "Another run has deployed" in decision.failures[0].sentence
    assert decision.rules[-1].sentence.endswith("it stays.")
    assert let_go(third)[0] == "promoted"
    assert standing(world) == ("3", 100, "3")


def test_a_candidate_that_another_champion_overtook_gets_no_traffic(
    world: Any, first: Any, bring_up: BringUp, let_go: LetGo
) -> None:
    record = bring_up("2")
    world.store.promote("taxi", "3", "1")
    outcome, decision = let_go(record)
    assert outcome == "rolled_back"
    assert "is version 3, not 1" in decision.failures[0].sentence
    assert world.share("2") == 0


@pytest.mark.parametrize(
    "policy", [{"bake_seconds": -1.0}, {"maximum_error_rate": 1.0}, {"traffic_steps": (5,)}]
)
def test_a_policy_that_cannot_be_meant_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(policy))):
        ReleasePolicy(**policy)
