"""Run a compiled pipeline without a cluster: KFP's own local orchestrator, an engine for the steps.

`kfp.local` asks Docker's Python client to run each task. Here that client is answered by an
`Engine`: `ProcessEngine` runs a task in the virtual environment that stands for its image,
`ContainerEngine` in a container of the image itself.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from shipway.pipelines.engine import Engine
from shipway.pipelines.specs import CompiledPipeline

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def _answering(engine: Engine) -> Iterator[None]:
    """Let `docker.from_env` give the engine for a while."""
    import docker

    original = docker.from_env
    docker.from_env = lambda *_, **__: engine
    try:
        yield
    finally:
        docker.from_env = original


def run_pipeline(pipeline: CompiledPipeline, arguments: Mapping[str, Any], engine: Engine) -> None:
    """Run a compiled pipeline to its end; the engine's steps tell afterwards how it went.

    Args:
        pipeline: the compiled pipeline.
        arguments: values of its parameters.
        engine: runs the tasks; artifacts and logs are left in its folder.

    Raises:
        KeyboardInterrupt: the user interrupted; the running step has been stopped.
    """
    with (
        engine,
        (engine.logs / "kfp.log").open("w") as log,
        contextlib.redirect_stdout(log),
        warnings.catch_warnings(),
        _answering(engine),
    ):
        # "Settings have no effect in the local runner": resources are the cluster's business.
        warnings.simplefilter("ignore")
        _orchestrate(pipeline, arguments, engine.folder / "artifacts")


def _orchestrate(pipeline: CompiledPipeline, arguments: Mapping[str, Any], root: Path) -> None:
    from kfp import components, local

    text = yaml.dump(_without_retries(pipeline.spec), Dumper=yaml.CSafeDumper)
    component = components.load_component_from_text(text)
    local.init(local.DockerRunner(), pipeline_root=str(root), raise_on_error=False)
    try:
        component(**arguments)
    except RuntimeError as error:  # a failed step: `steps` say which and why
        _log.info("%s", error)


def _without_retries(spec: Any) -> Any:
    """The same specification, each step tried once.

    On one machine a second try fails as the first did, and only makes the user wait.
    """
    if isinstance(spec, dict):
        return {k: _without_retries(v) for k, v in spec.items() if k != "retryPolicy"}
    return [_without_retries(item) for item in spec] if isinstance(spec, list) else spec
