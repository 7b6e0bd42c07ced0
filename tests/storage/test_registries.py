import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from uv import find_uv_bin

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ConfigurationError, StoreError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_store import open_store
from shipway.components.lib.ports import free_port
from shipway.components.register.logic import register

MLFLOW = "mlflow==3.17.2"
KUBEFLOW = "MODEL_REGISTRY_URL"
STORE = "gs://models/all"


@pytest.fixture
def run(google: Any, one: Path, tmp_path: Path) -> Callable[..., str]:
    """Registers a package and tells the registries."""
    (tmp_path / "e").write_text('{"metrics": {"auc": {"value": 0.9}, "f1": {"value": NaN}}}')
    Decision("model", "taxi", [Rule("auc", "pass", "auc is 0.9.")]).save(tmp_path / "d")

    def run(registries: dict[str, str], model: Path = one, name: str = "taxi") -> str:
        return register(model, tmp_path / "e", tmp_path / "d", name, STORE, registries)

    return run


@pytest.mark.parametrize(
    ("registries", "said"),
    [
        ({"mlflw": "http://here"}, "'mlflw'; there are mlflow, kubeflow. Did you mean 'mlflow'"),
        ({"mlflow": "here:5000"}, "'here:5000' of 'mlflow' is no URL"),
        ({"kubeflow": ""}, "'' of 'kubeflow' is no URL"),
        ({"mlflow": "https://me:secret@here"}, "holds a user or password"),
    ],
)
def test_a_registry_that_cannot_be_told_is_refused_before_registration(
    registries: dict[str, str], said: str, run: Callable[..., str], google: Any
) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        run(registries)
    assert "secret@" not in str(refused.value)
    assert not google.buckets["models"]


def test_mlflow_takes_no_version_from_a_directory(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    with pytest.raises(ConfigurationError, match=r"takes no version from a directory.*gs://"):
        register(*paths, "taxi", str(tmp_path), {"mlflow": "http://127.0.0.1"})


def told(registry: Any, kind: str) -> list[str]:
    """Digests of the versions that a registry has."""
    if kind == "mlflow":
        tags = [{tag["key"]: tag["value"] for tag in v["tags"]} for v in registry.versions]
        return [tag["shipway.digest"] for tag in tags]
    versions = [one for one in registry.kept if one["kind"] == "model_versions"]
    assert len({one["uri"] for one in registry.kept if "uri" in one}) == len(versions)
    return [one["customProperties"]["shipway.digest"]["string_value"] for one in versions]


KINDS = pytest.mark.parametrize("kind", ["mlflow", "kubeflow"])


@KINDS
def test_each_version_is_told_once(
    kind: str, run: Callable[..., str], registry: Any, one: Path, two: Path
) -> None:
    assert [run({kind: registry.url}, path) for path in (one, two, one)] == ["1", "2", "1"]
    assert told(registry, kind) == [sha256_of(path / "manifest.json") for path in (one, two)]


@KINDS
@pytest.mark.parametrize("answer", [0, 1])
def test_an_answer_that_got_lost_makes_no_second_version(
    kind: str, answer: int, run: Callable[..., str], registry: Any
) -> None:
    registry.lose = [False] * answer + [True]
    assert run({kind: registry.url}) == "1"
    assert len(told(registry, kind)) == 1
    assert registry.lose == []


@KINDS
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_is_asked_again(
    kind: str, status: int, run: Callable[..., str], registry: Any
) -> None:
    registry.fail = [status] * 2
    assert run({kind: registry.url}) == "1"
    assert len(told(registry, kind)) == 1


@KINDS
@pytest.mark.parametrize(("status", "said"), [(401, "renew its credentials"), (400, "not now")])
def test_a_hand_over_that_fails_leaves_the_version_and_can_be_repeated(
    kind: str, status: int, said: str, run: Callable[..., str], registry: Any
) -> None:
    registry.fail = [status]
    with pytest.raises(StoreError, match=f"Version 1 of 'taxi' is registered.*{kind}.*{said}"):
        run({kind: registry.url})
    assert open_store(STORE).download("taxi", "1").is_dir()
    assert run({kind: registry.url}) == "1"
    assert len(told(registry, kind)) == 1


def test_the_other_registry_is_told_all_the_same(run: Callable[..., str], registry: Any) -> None:
    registry.fail = [403]
    with pytest.raises(StoreError, match="mlflow at .* give this step's account access"):
        run({"mlflow": registry.url, "kubeflow": registry.url})
    assert len(told(registry, "kubeflow")) == 1


def test_a_login_page_is_no_registry(run: Callable[..., str], registry: Any) -> None:
    registry.page = b"<html>Sign in</html>"
    with pytest.raises(StoreError, match="answered no JSON; check that the URL"):
        run({"kubeflow": registry.url})


def test_a_version_of_another_store_is_not_taken_for_this_one(
    run: Callable[..., str], registry: Any, google: Any, two: Path
) -> None:
    run({"kubeflow": registry.url})
    google.buckets["models"].clear()
    with pytest.raises(StoreError, match="another version 1 of 'taxi'.*one model store"):
        run({"kubeflow": registry.url}, two)


def test_a_token_comes_from_the_environment(
    run: Callable[..., str], registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("of-the-pod\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of-mlflow")
    run({"kubeflow": registry.url})
    assert registry.authorization == "Bearer of-the-pod"
    run({"mlflow": registry.url})
    assert registry.authorization == "Bearer of-mlflow"


@pytest.fixture(scope="module")
def mlflow(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The real server, in an environment of its own: its URL and its interpreter."""
    python = repository / "build" / MLFLOW / "bin" / "python"
    if not (python.parent / "mlflow").exists():
        for arguments in (
            ["venv", "--clear", str(python.parents[1])],
            ["pip", "install", "--python", str(python), MLFLOW],
        ):
            subprocess.run([find_uv_bin(), *arguments, "--quiet"], check=True)
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    with (folder / "log").open("w") as log:
        command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        database = ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/db"]
        server = subprocess.Popen(
            [*command, *database], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield await_answer(f"http://127.0.0.1:{port}", "/health", server), python
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


def await_answer(url: str, path: str, server: subprocess.Popen) -> str:
    until = time.monotonic() + 240
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx.get(url + path).is_success:
                return url
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError("the server did not come up")


@pytest.mark.slow
def test_mlflow_itself_has_the_version_once(
    mlflow: Any, run: Callable[..., str], one: Path, two: Path
) -> None:
    url, python = mlflow
    assert [run({"mlflow": url}, path) for path in (one, two, one)] == ["1", "2", "1"]
    code = (
        "import sys, json, mlflow\n"
        "found = mlflow.MlflowClient(sys.argv[1]).search_model_versions(\"name = 'taxi'\")\n"
        "print(json.dumps([dict(v.tags, source=v.source, version=v.version) for v in found]))"
    )
    said = subprocess.run([python, "-c", code, url], check=True, capture_output=True, text=True)
    first = min(json.loads(said.stdout), key=lambda version: version["version"])
    assert len(json.loads(said.stdout)) == 2
    assert first["source"] == first["shipway.uri"] == f"{STORE}/taxi/versions/1"
    assert first["shipway.digest"] == sha256_of(one / "manifest.json")
    assert (first["shipway.version"], first["metrics.auc"]) == ("1", "0.9")
    assert "metrics.f1" not in first


@pytest.mark.slow
@pytest.mark.skipif(KUBEFLOW not in os.environ, reason=f"{KUBEFLOW} names no Model Registry")
def test_kubeflow_s_model_registry_itself_has_the_version_once(
    run: Callable[..., str], one: Path, two: Path
) -> None:
    url, name = os.environ[KUBEFLOW], f"taxi-{time.time_ns()}"
    for path in (one, two, one):
        run({"kubeflow": url}, path, name)
    api = httpx.Client(base_url=f"{url}/api/model_registry/v1alpha3/")
    model = api.get("registered_model", params={"name": name}).json()
    versions = api.get(f"registered_models/{model['id']}/versions").json()["items"]
    assert sorted(version["name"] for version in versions) == ["1", "2"]
    first = min(versions, key=lambda version: version["name"])
    properties = first["customProperties"]
    assert properties["shipway.digest"]["string_value"] == sha256_of(one / "manifest.json")
    assert properties["auc"]["double_value"] == 0.9
    (artifact,) = api.get(f"model_versions/{first['id']}/artifacts").json()["items"]
    assert artifact["uri"] == f"{STORE}/{name}/versions/1"
