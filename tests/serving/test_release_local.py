"""Deployment and release on this machine, with real model servers."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from shipway.components.deploy.kserve import KServeTarget
from shipway.components.deploy.logic import deploy
from shipway.components.lib.answering import DIGEST_HEADER, is_answering
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ConfigurationError, EndpointError, ModelPackageError
from shipway.components.lib.model_store import open_store
from shipway.components.lib.ports import free_port, port_is_free
from shipway.components.lib.serving_process import stop_endpoint
from shipway.components.lib.serving_record import (
    CANDIDATE,
    NEXT,
    ServingRecord,
    load_record,
    serving_dir_of,
)
from shipway.components.release.logic import release


class Endpoint:
    """A model store with three versions of the model trips, and a port for its endpoint."""

    def __init__(self, root: Path, packages: list[Path]) -> None:
        self.root = root
        self.uri = str(root / "store")
        self.store = open_store(self.uri)
        self.folder = serving_dir_of(self.uri)
        self.port = free_port()
        for package in packages:
            self.store.register("trips", package, {})

    def deploy(self, version: str) -> ServingRecord:
        return deploy(version, "trips", self.uri, "local", self.port, KServeTarget())

    def release(self, record: ServingRecord, probe: str | None = "pass") -> tuple[str, Decision]:
        """Release by a probe of that verdict, or by one that was torn off while written."""
        paths = [
            self.root / name for name in ("record.json", "probe.json", "decision.json", "r.html")
        ]
        record.save(paths[0])
        rules = [Rule("golden", probe or "fail", "The golden rows were held against training.")]
        Decision("endpoint", "trips", rules).save(paths[1])
        if probe is None:
            paths[1].write_text(paths[1].read_text()[:40])
        return release(*paths, "trips", self.uri), Decision.load(paths[2])

    def answering(self) -> str:
        """The digest that callers get."""
        url = f"http://127.0.0.1:{self.port}/v2/models/trips/ready"
        return httpx.get(url, trust_env=False).headers[DIGEST_HEADER]

    def other(self) -> str:
        """A version that does not serve."""
        return "2" if self.live().version == "1" else "1"

    def live(self) -> ServingRecord | None:
        return load_record(self.folder, "trips")

    def waiting(self) -> list[str]:
        """The servers that were started and are not the endpoint."""
        roles = (CANDIDATE, NEXT)
        return [role for role in roles if load_record(self.folder, "trips", role)]


@contextmanager
def open_endpoint(models, root: Path) -> Iterator[Endpoint]:
    names = ("binary", "regression", "multiclass")
    endpoint = Endpoint(root, [models[name].path for name in names])
    try:
        yield endpoint
    finally:
        stop_endpoint(endpoint.folder, "trips")


@pytest.fixture
def endpoint(models, tmp_path):
    with open_endpoint(models, tmp_path) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def released(models, tmp_path_factory):
    """An endpoint that serves its champion, version 1 or 2: servers are slow to start."""
    with open_endpoint(models, tmp_path_factory.mktemp("released")) as endpoint:
        record = endpoint.deploy("1")
        assert record.port != endpoint.port and port_is_free(endpoint.port)
        assert is_answering(record) and record.digest == models["binary"].digest
        outcome, decision = endpoint.release(record)
        assert (outcome, decision.verdict, decision.gate) == ("promoted", "pass", "release")
        assert not record.is_running
        yield endpoint


def assert_untouched(endpoint: Endpoint, before: ServingRecord, candidate: ServingRecord) -> None:
    assert endpoint.live() == before
    assert before.is_running and not candidate.is_running
    assert endpoint.waiting() == []
    assert {endpoint.answering() for _ in range(8)} == {before.digest}


def test_a_released_version_answers_and_again_changes_nothing(released, models):
    live, champion = released.live(), released.store.champion("trips")
    assert released.answering() == live.digest == champion.digest
    answer = httpx.post(live.v1_url, json={"instances": models["binary"].rows[:2]}, trust_env=False)
    assert len(answer.json()["predictions"]) == 2
    assert released.release(released.deploy(live.version))[0] == "promoted"
    assert released.live() == live and live.is_running
    assert released.store.champion("trips") == champion
    assert released.waiting() == []


class Callers:
    """Ask an endpoint for predictions without a pause, and count what came."""

    def __init__(self, url: str, rows: list[dict]) -> None:
        self.url, self.json = url, {"instances": rows}
        self.outcomes = {"new": Counter(), "kept": Counter()}
        self.stop = threading.Event()
        asks = (self.on_new_connections, self.on_new_connections, self.on_kept_connections)
        self.threads = [threading.Thread(target=ask) for ask in asks]

    def ask(self, kind: str, client: httpx.Client) -> None:
        try:
            answer = client.post(self.url, json=self.json)
            came = answer.json()["model_digest"] if answer.is_success else answer.text
        except httpx.TransportError as error:
            came = repr(error)
        self.outcomes[kind][came] += 1
        time.sleep(0.001)

    def on_new_connections(self) -> None:
        while not self.stop.is_set():
            with httpx.Client(trust_env=False, verify=False) as client:  # certificates are slow
                self.ask("new", client)

    def on_kept_connections(self) -> None:
        with httpx.Client(trust_env=False) as client:
            while not self.stop.is_set():
                self.ask("kept", client)

    def __enter__(self) -> "Callers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_releases_lose_no_request_of_callers_on_new_and_on_kept_connections(released, models):
    served = [released.live().digest]
    with Callers(released.live().v1_url, models["binary"].rows[:1]) as callers:
        for _ in range(2):
            before = released.live()
            record = released.deploy(released.other())
            assert released.answering() == before.digest
            assert released.release(record)[0] == "promoted"
            assert not before.is_running and released.live().digest == record.digest
            assert {released.answering() for _ in range(8)} == {record.digest}
            served.append(record.digest)
            champion = released.store.champion("trips")
            assert champion.version == record.version
            assert champion.history[0]["version"] == before.version
    for came in callers.outcomes.values():
        assert set(came) == set(served), came
        assert came.total() > 200


def test_a_server_that_does_not_hand_over_its_port_is_named(released):
    live = released.live()
    candidate = released.deploy(released.other())
    door = Path(live.handover)
    door.rename(door.with_suffix(".away"))
    outcome, decision = released.release(candidate)
    door.with_suffix(".away").rename(door)
    assert outcome == "rolled_back"
    assert "shipway stop trips" in decision.failures[0].sentence
    assert_untouched(released, live, candidate)


def test_a_candidate_that_is_not_proven_goes(released):
    live, champion = released.live(), released.store.champion("trips")
    candidate = released.deploy(released.other())
    for probe, said in (("fail", "golden rows"), (None, "cannot be read")):
        outcome, decision = released.release(candidate, probe)
        assert (outcome, decision.verdict) == ("rolled_back", "fail")
        assert said in decision.failures[0].sentence
        assert_untouched(released, live, candidate)
    assert released.store.champion("trips") == champion


def test_a_first_candidate_whose_probe_cannot_be_read_leaves_nothing(endpoint):
    candidate = endpoint.deploy("1")
    assert endpoint.release(candidate, None)[0] == "rolled_back"
    assert not candidate.is_running and endpoint.waiting() == []
    assert endpoint.live() is None and endpoint.store.champion("trips") is None
    assert port_is_free(endpoint.port)


def test_a_champion_that_moved_meanwhile_rolls_back(released):
    live = released.live()
    candidate = released.deploy(released.other())
    released.store.promote("trips", "3", live.version)
    outcome, decision = released.release(candidate)
    assert outcome == "rolled_back"
    assert f"is version 3, not {live.version}" in decision.failures[0].sentence
    assert_untouched(released, live, candidate)
    assert released.store.champion("trips").version == "3"
    released.store.promote("trips", live.version, "3")


def test_a_damaged_version_is_refused(endpoint):
    (endpoint.store.download("trips", "1") / "model.ubj").write_bytes(b"another")
    with pytest.raises(ModelPackageError, match=r"model\.ubj"):
        endpoint.deploy("1")
    assert endpoint.waiting() == []


def test_a_port_of_another_program_is_refused(endpoint):
    with socket.socket() as other:
        other.bind(("127.0.0.1", endpoint.port))
        other.listen()
        with pytest.raises(ConfigurationError, match=f"Port {endpoint.port} is in use"):
            endpoint.deploy("1")
    assert endpoint.waiting() == []


def test_a_record_that_is_torn_says_deploy_again(endpoint):
    for name in ("record.json", "probe.json"):
        (endpoint.root / name).write_text('{"target": "lo')
    paths = [
        endpoint.root / name for name in ("record.json", "probe.json", "decision.json", "r.html")
    ]
    with pytest.raises(EndpointError, match="Deploy the model again"):
        release(*paths, "trips", endpoint.uri)
    assert not paths[2].exists()
