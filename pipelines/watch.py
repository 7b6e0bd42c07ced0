"""Waiting for a run on Kubeflow: the states of its steps as they change, and how it ended."""

import datetime
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from shipway.components.lib.errors import KubeflowError
from shipway.pipelines.engine import Step
from shipway.pipelines.kubeflow import Kubeflow
from shipway.pipelines.progress import ProgressView
from shipway.pipelines.refusals import PassingError, UnreachableError
from shipway.pipelines.specs import CompiledPipeline

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
PATIENCE = 300.0  # seconds without an answer, such as while a port-forward is started again
ENDED = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
# A task in a loop has several nodes of its name: the first of these states that one of them has.
STATES = {
    "RUNNING": "running",
    "PENDING": "running",
    "FAILED": "failed",
    "CANCELING": "stopped",
    "CANCELED": "stopped",
    "SUCCEEDED": "done",
    "SKIPPED": "skipped",
}


@dataclass
class Outcome:
    """How a run stands or ended.

    Attributes:
        state: as the API says it, or "TIMEOUT" when it was not waited for any longer.
        failed: messages of the steps that failed, by name; empty where the API has none.
        closed_by: the step whose verdict let the rest of the run be skipped, if one did.
        message: of the run as a whole.
    """

    state: str = ""
    failed: dict[str, str] = field(default_factory=dict)
    closed_by: str = ""
    message: str = ""


def watch(
    kubeflow: Kubeflow,
    run_id: str,
    pipeline: CompiledPipeline,
    console: Console,
    timeout: float = 0.0,
) -> Outcome:
    """Wait until a run ends, and show its steps meanwhile.

    Args:
        kubeflow: where the run is.
        run_id: which run.
        pipeline: what runs.
        console: where progress is shown.
        timeout: seconds to wait at most; 0 waits for ever.

    Raises:
        KubeflowError: the API refuses, or does not answer for five minutes.
    """
    steps = [Step(name) for name in pipeline.steps]
    deadline = time.monotonic() + timeout if timeout else float("inf")
    heard, pause = time.monotonic(), FIRST_PAUSE
    with ProgressView(console, steps) as view:
        while True:
            try:
                run = kubeflow.run(run_id)
                heard = time.monotonic()
            except (PassingError, UnreachableError):
                if time.monotonic() - heard > PATIENCE:
                    raise
                run = {}
            _show(run, steps, view)
            if run.get("state") in ENDED:
                return _outcome(run, pipeline)
            if run and "state" not in run and run.get("error"):
                raise KubeflowError(f"Run {run_id} cannot be read: {_message(run)}")
            left = deadline - time.monotonic()
            if left <= 0:
                return Outcome("TIMEOUT")
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _tasks(run: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The nodes of a run by the name of their task."""
    found: dict[str, list[dict[str, Any]]] = {}
    for task in run.get("run_details", {}).get("task_details", []):
        found.setdefault(task.get("display_name", ""), []).append(task)
    return found


def _state(nodes: list[dict[str, Any]]) -> str:
    has = {node.get("state") for node in nodes}
    return next((state for state in STATES if state in has), "")


def _show(run: Mapping[str, Any], steps: list[Step], view: ProgressView) -> None:
    tasks = _tasks(run)
    ended = run.get("state") in ENDED
    for step in steps:
        nodes = tasks.get(step.name, [])
        state = STATES.get(_state(nodes), step.state)
        if _state(tasks.get(f"{step.name}-driver", [])) == "FAILED":
            state = "failed"
        if ended:
            state = {"waiting": "skipped", "running": "stopped"}.get(state, state)
        if state == step.state:
            continue
        step.state = state
        if state == "running":
            step.started = time.monotonic()
        step.seconds = max((_seconds(node) for node in nodes), default=0.0)
        view.on_change(step)


def _seconds(node: Mapping[str, Any]) -> float:
    try:
        start, end = (
            datetime.datetime.fromisoformat(str(node[key])) for key in ("start_time", "end_time")
        )
    except (KeyError, ValueError):
        return 0.0
    return max((end - start).total_seconds(), 0.0)


def _outcome(run: Mapping[str, Any], pipeline: CompiledPipeline) -> Outcome:
    tasks = _tasks(run)
    outcome = Outcome(run["state"], message=_message(run))
    for step in pipeline.steps:
        nodes = tasks.get(step, []) + tasks.get(f"{step}-driver", [])
        failed = [node for node in nodes if node.get("state") == "FAILED"]
        if failed:
            outcome.failed[step] = next(filter(None, map(_message, failed)), "")
    closed = [
        gate for task, gate in _gates(pipeline).items() if _state(tasks.get(task, [])) == "SKIPPED"
    ]
    outcome.closed_by = closed[0] if closed else ""
    return outcome


def _message(thing: Mapping[str, Any]) -> str:
    """The error of a run or task, which the API puts in one of two places, if it has it at all."""
    errors = [thing.get("error"), *(one.get("error") for one in thing.get("state_history", []))]
    return next((str(error["message"]) for error in errors if error and "message" in error), "")


def _gates(pipeline: CompiledPipeline) -> dict[str, str]:
    """The step that decides, by the task of each If that has no Else."""
    found = {}
    dags = {"root": pipeline.spec["root"], **pipeline.spec["components"]}
    for name, component in dags.items():
        if name.startswith("comp-condition-branches"):
            continue  # of these one is always skipped
        for key, task in component.get("dag", {}).get("tasks", {}).items():
            condition = task.get("triggerPolicy", {}).get("condition", "")
            for step in pipeline.steps:
                if f"'pipelinechannel--{step}-Output'" in condition:
                    found[key] = step
    return found
