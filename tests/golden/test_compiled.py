"""The committed YAML: what the source compiles to, and what KFP's own schemas accept."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from shipway.components.lib import images
from shipway.pipelines.compile import MAX_BYTES, PIPELINES, compile_pipeline, with_images
from shipway.pipelines.specs import COMPILED, load_compiled


@pytest.fixture(params=PIPELINES)
def path(request: pytest.FixtureRequest) -> Path:
    return COMPILED / f"{request.param}.yaml"


def test_the_committed_yaml_is_what_the_source_compiles_to(path: Path) -> None:
    assert path.read_text() == compile_pipeline(path.stem)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_it_does_not_depend_on_the_hash_seed_or_the_folder(
    path: Path, seed: str, tmp_path: Path
) -> None:
    code = (
        f"from shipway.pipelines.compile import *; print(compile_pipeline({path.stem!r}), end='')"
    )
    text = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": seed},
    ).stdout
    assert text == path.read_text()


def test_kfp_schemas_accept_it(path: Path) -> None:
    spec, *platforms = yaml.load_all(path.read_text(), yaml.CSafeLoader)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    # A Struct inside PipelineSpec, so it is checked on its own.
    json_format.ParseDict(spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    assert platforms
    for platform in platforms:
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for executor in executors.values():
            json_format.ParseDict(executor, kubernetes_pb2.KubernetesExecutorConfig())


def test_it_fits_a_cluster(path: Path) -> None:
    text = path.read_text()
    assert text.isascii()
    assert len(text) < MAX_BYTES
    assert "pip install" not in text
    assert set(load_compiled(str(path)).images) <= set(images.TARGETS)


def test_steps_that_act_outside_the_run_are_not_cached() -> None:
    spec = load_compiled("train-and-deploy").spec
    cached = {
        name: "enableCache" in task["cachingOptions"]
        for component in [spec["root"], *spec["components"].values()]
        for name, task in component.get("dag", {}).get("tasks", {}).items()
        if "componentRef" in task and "cachingOptions" in task
    }
    outside = {"ingest-table", "bless-model", "register-model", "deploy-model"}
    outside |= {"probe-endpoint", "release-model", "send-alert"}
    assert {name for name in cached if not cached[name]} >= outside
    assert cached["train-model"]


def test_gates_are_conditions_on_the_only_return_value() -> None:
    spec = load_compiled("train-and-deploy").spec
    conditions = [
        task["triggerPolicy"]["condition"]
        for component in [spec["root"], *spec["components"].values()]
        for task in component.get("dag", {}).get("tasks", {}).values()
        if "condition" in task.get("triggerPolicy", {})
    ]
    assert len(conditions) == 3
    assert all("-Output'] == '" in condition for condition in conditions)


def test_another_registry_and_tag_rewrite_every_image(path: Path) -> None:
    text = with_images(path.read_text(), "registry.example/team", "1.2.3")
    spec = next(yaml.load_all(text, yaml.CSafeLoader))
    used = {e["container"]["image"] for e in spec["deploymentSpec"]["executors"].values()}
    assert used == {f"registry.example/team/shipway-{t}:1.2.3" for t in ("data", "train", "serve")}
    assert images.REGISTRY not in text


def test_the_pipeline_of_the_catalogue_compiles_and_ends_with_the_drift_step(
    tmp_path: Path,
) -> None:
    catalogue = Path(__file__).parents[2] / "components" / "README.md"
    (code,) = re.findall(r"```python\n(.*?)```", catalogue.read_text(), re.DOTALL)
    (tmp_path / "drift.py").write_text(code)
    subprocess.run([sys.executable, "drift.py"], check=True, cwd=tmp_path)
    pipeline = load_compiled(str(tmp_path / "drift.yaml"))
    assert pipeline.steps == ["ingest-table", "ingest-table-2", "detect-drift"]
    assert set(pipeline.images) <= set(images.TARGETS)
    kinds = pipeline.spec["components"]["comp-detect-drift"]["outputDefinitions"]["parameters"]
    assert list(kinds) == ["Output"]
    assert kinds["Output"]["parameterType"] == "STRING"
