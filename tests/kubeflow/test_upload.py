"""`shipway upload`: versions of pipelines, named by what git says."""

import subprocess
from pathlib import Path

import pytest
import yaml

from shipway.components import __version__
from shipway.components.lib.errors import KubeflowError
from shipway.pipelines.package import Package, make_package, version_name
from shipway.pipelines.specs import COMPILED, load_compiled

PIPELINE = load_compiled("train-and-deploy")
PACKAGE = make_package(PIPELINE)
OTHER = Package(PACKAGE.name, PACKAGE.text.replace("0.15", "0.16"))


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def names(api) -> list[str]:
    return [version["display_name"] for version in api.stored["pipeline_versions"]]


def test_every_pipeline_is_uploaded_and_uploading_again_changes_nothing(api, shipway) -> None:
    first = shipway("upload", "--host", api.url, "--version-name", "one")
    assert first.returncode == 0, first.stderr
    assert len(api.stored["pipelines"]) == len(list(COMPILED.glob("*.yaml")))
    (version,) = [
        one
        for one in api.stored["pipeline_versions"]
        if "pipeline_spec" in one["pipeline_spec"]
        and one["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == PIPELINE.name
    ]
    page = f"/#/pipelines/details/{version['pipeline_id']}/version/{version['pipeline_version_id']}"
    assert f"Uploaded version 'one' of 'train-and-deploy': {api.url}{page}\n" in first.stdout

    again = shipway("upload", "--host", api.url, "--version-name", "one")
    assert again.returncode == 0, again.stderr
    assert f"same content: version 'one' of 'train-and-deploy': {api.url}{page}\n" in again.stdout
    assert set(names(api)) == {"one"}
    assert len(api.stored["pipelines"]) == len(names(api))


def test_another_content_needs_another_name(api, shipway, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(OTHER.text)
    words = ["--host", api.url, "--version-name"]
    assert shipway("upload", "train-and-deploy", *words, "one").returncode == 0
    refused = shipway("upload", "mine.yaml", *words, "one")
    assert refused.returncode == 1
    assert "'one' of 'train-and-deploy' is uploaded already" in refused.stderr
    assert "--version-name" in refused.stderr
    assert names(api) == ["one"]
    assert shipway("upload", "mine.yaml", *words, "two").returncode == 0
    assert names(api) == ["one", "two"]
    assert len(api.stored["pipelines"]) == 1


def test_other_images_are_another_content(api, connect) -> None:
    kubeflow = connect()
    assert kubeflow.upload(make_package(PIPELINE, tag="7"), "one").made
    with pytest.raises(KubeflowError, match="another content"):
        kubeflow.upload(make_package(PIPELINE, tag="8"), "one")
    stored = yaml.safe_dump(api.stored["pipeline_versions"])
    assert "shipway-train:7" in stored
    assert "shipway-train:8" not in stored


@pytest.mark.parametrize("name", ["1.0+abc", "50%25", "v1 #2&x=y", "ünïcode"])
def test_a_name_with_odd_characters_is_found_again(connect, name: str) -> None:
    kubeflow = connect()
    assert kubeflow.upload(PACKAGE, name).made
    assert not kubeflow.upload(PACKAGE, name).made


def test_the_version_that_is_meant_is_found_among_many(api, connect) -> None:
    kubeflow = connect()
    for name in "abcdef":
        kubeflow.upload(PACKAGE if name == "e" else OTHER, name)
    assert not kubeflow.upload(PACKAGE, "e").made
    assert names(api) == list("abcdef")


@pytest.mark.parametrize("status", [0, 503])
def test_a_version_is_added_once_though_the_answer_is_lost(
    api, pipelines_api, connect, status: int
) -> None:
    api.faults = [pipelines_api.Fault("POST", "/upload_version", status, done=True)]
    assert connect().upload(PACKAGE, "one").made
    assert names(api) == ["one"]
    assert len(api.sent("POST", "/upload_version")) == 1


def test_somebody_else_may_be_faster(api, pipelines_api, connect) -> None:
    kubeflow = connect()
    kubeflow.upload(PACKAGE, "one")
    hidden = pipelines_api.Fault("GET", "/pipelines", 200, "{}")
    api.faults = [hidden, pipelines_api.Fault("GET", "/versions", 200, "{}")]
    assert not kubeflow.upload(PACKAGE, "one").made
    assert len(api.stored["pipelines"]) == len(names(api)) == 1


def test_a_pipeline_whose_first_version_failed_gets_it_the_next_time(
    api, pipelines_api, connect
) -> None:
    text = '{"error_message": "Failed to parse the pipeline"}'
    api.faults = [pipelines_api.Fault("POST", "/upload_version", 400, text)]
    with pytest.raises(KubeflowError, match="Failed to parse the pipeline"):
        connect().upload(PACKAGE, "one")
    assert connect().upload(PACKAGE, "one").made
    assert len(api.stored["pipelines"]) == 1


def test_a_team_uploads_to_its_namespace(api, shipway, team) -> None:
    result = shipway("upload", "train-and-deploy", "--host", api.url, *team)
    assert result.returncode == 0, result.stderr
    assert api.stored["pipelines"][0]["namespace"] == "team"


def test_a_refused_version_names_the_namespace(api, pipelines_api, shipway, team) -> None:
    text = '{"error_message": "Failed to create a pipeline version"}'
    api.faults = [pipelines_api.Fault("POST", "/upload_version", 400, text)]
    result = shipway("upload", "train-and-deploy", "--host", api.url, *team)
    assert result.returncode == 1
    assert "Failed to create a pipeline version" in result.stderr
    assert "namespace 'team'" in result.stderr


def test_the_official_client_finds_what_was_uploaded(api, connect) -> None:
    kfp = pytest.importorskip("kfp")
    connect().upload(PACKAGE, "one")
    with pytest.warns(FutureWarning):
        client = kfp.Client(host=api.url)
    pipeline_id = client.get_pipeline_id("train-and-deploy")
    (version,) = client.list_pipeline_versions(pipeline_id).pipeline_versions
    assert version.display_name == "one"
    assert version.pipeline_spec == PACKAGE.spec


def test_a_version_is_named_by_git(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(PACKAGE.text)
    mine = load_compiled(str(path))
    assert version_name(mine) == __version__  # no repository
    git(tmp_path, "init", "-q")
    assert version_name(mine) == __version__  # the repository does not hold it
    git(tmp_path, "add", "mine.yaml")
    git(tmp_path, "commit", "-qm", "first")
    assert len(version_name(mine)) >= 7  # no tag: the commit
    git(tmp_path, "tag", "v1.2")
    assert version_name(mine) == "v1.2"
    path.write_text(OTHER.text)
    assert version_name(mine) == "v1.2-dirty"
