"""What a run in containers asks of this machine, before any container is made."""

from pathlib import Path

import pytest

from shipway.components.lib.errors import ConfigurationError
from shipway.pipelines.container_client import connect
from shipway.pipelines.containers import mounts
from shipway.pipelines.images import Builder, find_engine


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("tcp://192.0.2.1:2375", "mounts folders of this machine"),
        ("unix:///nowhere/docker.sock", "none answers. Start Docker, or podman"),
    ],
)
def test_an_engine_that_cannot_be_used_is_named_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, host: str, told: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(ConfigurationError, match=told) as caught:
        connect(["example.test/any:1"])
    assert host in str(caught.value)


def test_a_machine_without_an_engine_is_told_which_it_could_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="docker, podman, buildah"):
        find_engine()
    with pytest.raises(ConfigurationError, match="answers here: buildah"):
        find_engine("buildah")


def test_images_are_built_from_a_checkout_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="make images"):
        Builder("podman", tmp_path).build("serve")


def test_a_step_sees_what_the_run_names_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "data" / "day=1").mkdir(parents=True)
    key, run = tmp_path / "key.json", tmp_path / "runs" / "one"
    key.touch()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    given = {
        "data_uri": f"{tmp_path}/data/*/part-?.csv",
        "schema_uri": f"file://{tmp_path}/missing.pbtxt",
        "model_store": f"{tmp_path}/state/models",
        "other_uri": "gs://bucket/data",
        "model_name": str(tmp_path),
    }
    seen = {one["Target"]: one["ReadOnly"] for one in mounts(run, given)}
    assert seen == {
        str(run): False,
        f"{tmp_path}/state/models": False,
        f"{tmp_path}/state/serving": False,
        f"{tmp_path}/data": True,
        str(key): True,
    }
