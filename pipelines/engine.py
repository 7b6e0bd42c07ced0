"""Steps of a local run, and what every engine does with one: bookkeeping, a check of outputs.

`kfp.local` asks Docker's Python client to run each task. An engine answers in that client's place,
so that a step's success is told from its exit status and from what it wrote, both: KFP itself takes
a container that is gone for a success.
"""

import json
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol, Self

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.processes import process_start

STOP_SECONDS = 5.0


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


class _Ended:
    """What `kfp.local` reads of a Docker container; it has ended when `run` returns it."""

    def __init__(self, status: int) -> None:
        self._status = status

    def logs(self, stream: bool = True) -> Iterator[bytes]:
        return iter(())

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self._status}


class Engine(AbstractContextManager["Engine"], ABC):
    """A Docker client look-alike that runs the tasks of one run; a context manager.

    Attributes:
        folder: the run's folder.
        steps: the steps of the run, updated in place.
        logs: folder with a log file of each step.
    """

    def __init__(
        self, images: Iterable[str], folder: Path, steps: Sequence[Step], observer: Observer
    ) -> None:
        """Make an engine for one run.

        Args:
            images: references of the images that it can run.
            folder: the run's folder.
            steps: the steps of the run.
            observer: told of each step's beginning and end.
        """
        self.folder = folder
        self.steps = steps
        self.logs = folder / "logs"
        self._references = list(images)
        self._observer = observer
        self.images = self.containers = self

    def __enter__(self) -> Self:
        """Begin."""
        self.logs.mkdir(parents=True)
        return self

    def __exit__(self, *raised: object) -> None:
        """End: a step that was interrupted is stopped, one that never began is skipped."""
        for step in self.steps:
            step.state = {"running": "stopped", "waiting": "skipped"}.get(step.state, step.state)

    def info(self) -> dict[str, Any]:
        """Nothing of a daemon to tell."""
        return {}

    def close(self) -> None:
        """Nothing: KFP closes the client after each task, and the run goes on."""

    def list(self) -> Sequence[_Image]:
        """The images that can be run."""
        return [_Image(reference) for reference in self._references]

    def pull(self, image: str) -> None:
        """Refuse an image that this engine was not made for.

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
    ) -> _Ended:
        """Run a task's command to its end, output to the log of its step."""
        request = _executor_input(command)
        by_name = {step.name: step for step in self.steps}
        step = by_name[Path(request["outputs"]["outputFile"]).parent.name]
        step.log = self.logs / f"{step.name}.log"
        step.started = time.monotonic()
        step.state = "running"
        self._observer.on_change(step)
        variables = {**(environment or {}), "SHIPWAY_IMAGE": image}
        with step.log.open("wb") as log:
            status = self._execute(image, command, variables, log)
        step.seconds = time.monotonic() - step.started
        problem = _read_outputs(step, request) if status == 0 else f"exit status {status}"
        if problem:
            with step.log.open("a") as log_text:
                log_text.write(f"\nThe step '{step.name}' failed: {problem}.\n")
        step.state = "failed" if problem else "done"
        self._observer.on_change(step)
        return _Ended(status or (1 if problem else 0))

    @abstractmethod
    def _execute(
        self, image: str, command: Sequence[str], variables: dict[str, str], log: IO[bytes]
    ) -> int:
        """Run a command to its end and give its exit status; leave nothing when interrupted."""


def end_group(leader: int) -> None:
    """End a process and all of its process group: politely, then not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(leader, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_SECONDS
        while process_start(leader) and time.monotonic() < deadline:
            time.sleep(0.05)


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
