"""Run a compiled pipeline without a cluster: KFP's own local orchestrator, a process for each step.

`kfp.local` asks Docker's Python client to run each task. Here that client is answered by
`ProcessEngine`, which runs the task's unmodified command in the virtual environment that stands
for its image. A step's success is told from its exit status and from what it wrote, both.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from shipway.components.lib.errors import ConfigurationError
from shipway.pipelines.specs import CompiledPipeline

STOP_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass
class Step:
    """One step of a run.

    Attributes:
        name: the task's name in the compiled pipeline.
        state: "waiting", "running", "done", "failed", "skipped" or "stopped".
        seconds: how long it has run.
        verdict: the text that the step returned, if any.
        log: file with everything the step printed.
        artifacts: what it wrote: path by output name.
        types: KFP's type of each of them, e.g. "system.HTML".
    """

    name: str
    state: str = "waiting"
    seconds: float = 0.0
    verdict: str = ""
    log: Path = Path()
    artifacts: dict[str, Path] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    started: float = 0.0


class Observer(Protocol):
    """Somebody who is told when a step begins and ends."""

    def on_change(self, step: Step) -> None:
        """A step has begun or ended."""


class _Image:
    """What `kfp.local` reads of a Docker image."""

    def __init__(self, reference: str) -> None:
        self.tags = [reference]
        self.attrs: dict[str, list[str]] = {"RepoDigests": []}


class _Process:
    """What `kfp.local` reads of a Docker container; it has ended when `run` returns it."""

    def __init__(self, status: int) -> None:
        self._status = status

    def logs(self, stream: bool = True) -> Iterator[bytes]:
        return iter(())

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self._status}


class ProcessEngine:
    """A Docker client look-alike that runs each task in the environment of its image."""

    def __init__(
        self,
        environments: Mapping[str, Path],
        steps: list[Step],
        logs: Path,
        observer: Observer,
    ) -> None:
        """Make an engine for one run.

        Args:
            environments: virtual environment by image reference.
            steps: the steps of the run, updated in place.
            logs: folder for a log file of each step.
            observer: told of each step's beginning and end.
        """
        self._environments = environments
        self._steps = {step.name: step for step in steps}
        self._logs = logs
        self._observer = observer
        self._process: subprocess.Popen[bytes] | None = None
        self.images = self.containers = self

    def info(self) -> dict[str, Any]:
        """Nothing of a daemon to tell."""
        return {}

    def close(self) -> None:
        """Nothing to close."""

    def list(self) -> Sequence[_Image]:
        """The images that an environment stands for."""
        return [_Image(reference) for reference in self._environments]

    def pull(self, image: str) -> None:
        """Refuse an image that no environment stands for.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"No environment stands for image '{image}'; compile the pipeline with the images of "
            "this version: shipway compile."
        )

    def run(
        self,
        image: str,
        command: Sequence[str],
        environment: dict[str, str] | None = None,
        **_: Any,
    ) -> _Process:
        """Run a task's command to its end, output to the log of its step."""
        request = _executor_input(command)
        step = self._steps[Path(request["outputs"]["outputFile"]).parent.name]
        step.log = self._logs / f"{step.name}.log"
        step.started = time.monotonic()
        step.state = "running"
        self._observer.on_change(step)
        with step.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=self._variables(image, environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            status = self._process.wait()
        self._process = None
        step.seconds = time.monotonic() - step.started
        problem = _read_outputs(step, request) if status == 0 else f"exit status {status}"
        if problem:
            with step.log.open("a") as log_text:
                log_text.write(f"\nThe step '{step.name}' failed: {problem}.\n")
        step.state = "failed" if problem else "done"
        self._observer.on_change(step)
        return _Process(status or (1 if problem else 0))

    def _variables(self, image: str, extra: dict[str, str] | None) -> dict[str, str]:
        variables = {**os.environ, **(extra or {}), "SHIPWAY_IMAGE": image}
        variables["PATH"] = f"{self._environments[image]}/bin:{os.environ['PATH']}"
        variables["PYTHONUNBUFFERED"] = "1"
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
            variables.pop(name, None)
        return variables

    def stop(self) -> None:
        """End the running step and all that it started in its own process group."""
        process = self._process
        if process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
                break


def _executor_input(command: Sequence[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(command[command.index("--executor_input") + 1])
    return value


def _read_outputs(step: Step, request: dict[str, Any]) -> str:
    """Fill in what the step wrote; a sentence when something is missing, else nothing."""
    for name, value in request["outputs"].get("artifacts", {}).items():
        artifact = value["artifacts"][0]
        step.types[name] = artifact["type"].get("schemaTitle", "")
        path = Path(artifact["uri"])
        if path.exists():
            step.artifacts[name] = path
        elif step.types[name] not in ("system.Metrics", "system.ClassificationMetrics"):
            return f"it did not write its output '{name}'"
    expected = request["outputs"].get("parameters", {})
    try:
        written = json.loads(Path(request["outputs"]["outputFile"]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "it did not write what it returns" if expected else ""
    returned = written.get("parameterValues", {}).get("Output", "")
    step.verdict = returned if isinstance(returned, str) else ""
    return ""


@contextlib.contextmanager
def _answering(engine: ProcessEngine) -> Iterator[None]:
    """Let `docker.from_env` give the engine for a while."""
    import docker

    original = docker.from_env
    docker.from_env = lambda *_, **__: engine
    try:
        yield
    finally:
        docker.from_env = original


def run_pipeline(
    pipeline: CompiledPipeline,
    arguments: Mapping[str, Any],
    environments: Mapping[str, Path],
    folder: Path,
    observer: Observer,
    steps: list[Step],
) -> None:
    """Run a compiled pipeline to its end; `steps` tell afterwards how it went.

    Args:
        pipeline: the compiled pipeline.
        arguments: values of its parameters.
        environments: virtual environment by image reference.
        folder: the run's folder; artifacts and logs are left in it.
        observer: told of each step's beginning and end.
        steps: one for each of `pipeline.steps`, updated in place.

    Raises:
        KeyboardInterrupt: the user interrupted; the running step has been stopped.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True)
    engine = ProcessEngine(environments, steps, logs, observer)
    try:
        with (
            (logs / "kfp.log").open("w") as log,
            contextlib.redirect_stdout(log),
            warnings.catch_warnings(),
            _answering(engine),
        ):
            # "Settings have no effect in the local runner": resources are the cluster's business.
            warnings.simplefilter("ignore")
            _orchestrate(pipeline, arguments, folder / "artifacts")
    except KeyboardInterrupt:
        engine.stop()
        for step in steps:
            step.state = "stopped" if step.state == "running" else step.state
        raise
    finally:
        for step in steps:
            step.state = "skipped" if step.state == "waiting" else step.state


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
