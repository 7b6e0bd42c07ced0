"""Pipelines as Kubernetes objects: valid, deterministic, and named by what they run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.images import VERSION
from shipway.pipelines.cli import cli
from shipway.pipelines.compile import PIPELINES, compile_pipeline
from shipway.pipelines.gitops import manifest
from tests.manifests.schemas import needs_crds, problems

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@pytest.fixture(params=PIPELINES, scope="module")
def module(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def objects(module: str) -> list[dict]:
    return list(yaml.load_all(manifest(module, "kubeflow"), yaml.CSafeLoader))


def compiled(*arguments: object) -> str:
    """Run `shipway compile`; returns what it prints."""
    result = CliRunner().invoke(cli, ["compile", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


@needs_crds
def test_the_objects_are_valid(objects):
    assert [obj["kind"] for obj in objects] == ["Pipeline", "PipelineVersion"]
    assert [sentence for obj in objects for sentence in problems(obj)] == []


@needs_crds
def test_a_field_that_kubeflow_does_not_know_would_be_found(objects):
    version = objects[1] | {"spec": dict(objects[1]["spec"])}
    version["spec"]["pipelineNam"] = version["spec"].pop("pipelineName")
    assert "no such field: pipelineNam" in problems(version)[0]


def test_the_version_runs_what_the_committed_yaml_runs(module, objects):
    spec, platform = yaml.load_all(compile_pipeline(module), yaml.CSafeLoader)
    assert objects[1]["spec"]["pipelineSpec"] == spec
    assert objects[1]["spec"]["platformSpec"] == platform
    json_format.ParseDict(objects[1]["spec"]["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())


def test_names_are_kubernetes_names_and_carry_the_version(module, objects):
    pipeline, version = (obj["metadata"]["name"] for obj in objects)
    assert pipeline == module.replace("_", "-") == objects[1]["spec"]["pipelineName"]
    assert version.startswith(f"{pipeline}-{VERSION.replace('.', '-')}-")
    for name in (pipeline, version):
        assert NAME.fullmatch(name)
        assert len(name) <= 63  # KFP makes labels of them


def test_another_content_is_another_version_of_the_same_pipeline(module):
    texts = [manifest(module, tag=tag) for tag in ("", "1.2.3", "1.2.4")]
    pairs = [list(yaml.load_all(text, yaml.CSafeLoader)) for text in texts]
    assert all(pipeline == pairs[0][0] for pipeline, _ in pairs)
    assert len({version["metadata"]["name"] for _, version in pairs}) == 3
    # Without a namespace the objects go where they are applied.
    assert all("namespace" not in one["metadata"] for one in pairs[0])


def test_it_does_not_depend_on_the_hash_seed_or_the_folder(module, tmp_path):
    code = f"from shipway.pipelines.gitops import *; print(manifest({module!r}), end='')"
    environment = os.environ | {"PYTHONHASHSEED": "0"}  # this process has one of chance
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment)
    assert done.stdout.decode("ascii") == manifest(module)


def test_the_command_writes_them_and_tells_when_they_are_old(tmp_path: Path):
    where = ["--kubernetes-manifests", tmp_path, "--namespace", "team"]
    images = ["--registry", "registry.example/team", "--tag", "1.2.3"]
    printed = compiled(*where, *images)
    assert printed.split() == [str(tmp_path / f"{module}.yaml") for module in PIPELINES]
    text = (tmp_path / f"{PIPELINES[0]}.yaml").read_text()
    used = set(re.findall(r"image: (\S+)", text))
    assert used == {f"registry.example/team/shipway-{t}:1.2.3" for t in ("data", "train", "serve")}
    assert "is up to date" in compiled(*where, *images, "--check")
    with pytest.raises(ConfigurationError, match="is not what the source compiles to"):
        compiled(*where, "--check")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--namespace", "team"], "--namespace is for --kubernetes-manifests"),
        (["--kubernetes-manifests", "a", "--output", "b"], "not both"),
        (["--kubernetes-manifests", "a", "--namespace", "My_Team"], "cannot name a namespace"),
    ],
)
def test_a_wrong_option_is_refused_and_nothing_is_written(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        compiled(*arguments)
    assert list(tmp_path.iterdir()) == []
