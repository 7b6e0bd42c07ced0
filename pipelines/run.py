"""`shipway run`: check what was given, prepare environments, run, and sum the run up."""

import datetime
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from shipway.components.lib.answering import is_answering
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.ports import port_is_free
from shipway.components.lib.serving_process import stop_candidate
from shipway.components.lib.serving_record import ServingRecord, list_endpoints, serving_dir_of
from shipway.pipelines.endpoints import Place, find_places, place_of
from shipway.pipelines.engine import Engine, Step
from shipway.pipelines.environments import prepare
from shipway.pipelines.local import run_pipeline
from shipway.pipelines.processes import ProcessEngine
from shipway.pipelines.progress import BAD, ProgressView
from shipway.pipelines.specs import CompiledPipeline, check_arguments


@dataclass
class Run:
    """A finished run.

    Attributes:
        folder: where its logs, artifacts and reports are.
        steps: what each step did.
        arguments: what it ran with.
        seconds: from the first step's start to the last step's end.
        endpoint: base URL of the endpoint that answers, or empty.
        reports: HTML page by step.
    """

    folder: Path
    steps: list[Step]
    arguments: Mapping[str, Any]
    seconds: float = 0.0
    endpoint: str = ""
    reports: dict[str, Path] = field(default_factory=dict)

    @property
    def failed(self) -> list[Step]:
        """The steps that failed."""
        return [step for step in self.steps if step.state == "failed"]

    @property
    def stopped_by(self) -> list[Step]:
        """The gates that stopped the run."""
        return [step for step in self.steps if step.verdict in BAD]

    def artifact(self, step: str, name: str) -> Path | None:
        """The path of a step's output, when it wrote one."""
        found = [one.artifacts.get(name) for one in self.steps if one.name == step]
        return found[0] if found else None


def start(
    pipeline: CompiledPipeline,
    given: Mapping[str, Any],
    state: Path,
    console: Console,
    runner: str = "process",
) -> Run:
    """Run a compiled pipeline on this machine and check that its endpoint answers.

    Args:
        pipeline: the compiled pipeline.
        given: parameter values as the user gave them.
        state: the state directory, `.shipway`.
        console: where progress is shown.
        runner: "process" for environments on this machine, "docker" for containers of the images.

    Raises:
        ConfigurationError: an argument is wrong, the endpoint's port is taken, or the runner
            cannot be had.
        KeyboardInterrupt: the user interrupted; nothing that this run started is left running.
    """
    arguments = _arguments(pipeline, given, state)
    place = place_of(arguments)
    if place:
        _check_port(arguments, place, state)
    make_engine = _runner(runner, pipeline, arguments, state, console)
    folder = _new_folder(state, pipeline.name)
    run = Run(folder, [Step(name) for name in pipeline.steps], arguments)
    began = time.monotonic()
    try:
        with ProgressView(console, run.steps) as view:
            run_pipeline(pipeline, arguments, make_engine(folder, run.steps, view))
    except KeyboardInterrupt:
        if place:
            stop_candidate(*place)
        raise
    finally:
        run.seconds = time.monotonic() - began
        _keep_reports(run)
        run.endpoint = _endpoint(run)
        _record(run, pipeline)
    return run


def _runner(
    runner: str,
    pipeline: CompiledPipeline,
    arguments: Mapping[str, Any],
    state: Path,
    console: Console,
) -> Callable[..., Engine]:
    """What makes the run's engine, once everything that it needs is there."""
    if runner == "process":
        environments = prepare(
            pipeline.images, state, lambda line: console.print(f"  {line}", style="dim")
        )
        return partial(ProcessEngine, environments)
    from shipway.pipelines.container_client import connect
    from shipway.pipelines.containers import ContainerEngine

    return partial(ContainerEngine, connect(pipeline.images), pipeline.images, arguments)


def _arguments(pipeline: CompiledPipeline, given: Mapping[str, Any], state: Path) -> dict[str, Any]:
    """The user's values, with what a machine without a cluster implies."""
    here: dict[str, Any] = {}
    if "serving_target" in pipeline.parameters:
        here["serving_target"] = "local"
    if "model_store" in pipeline.parameters:
        here["model_store"] = str((state / "models").resolve())
    arguments = check_arguments(pipeline, {**here, **given})
    for name, value in arguments.items():
        # Steps run elsewhere than the user's shell, so a relative path must not stay relative.
        if name.endswith(("_uri", "_store")) and value and "://" not in value:
            arguments[name] = str(Path(value).expanduser().absolute())
    return arguments


def _check_port(arguments: Mapping[str, Any], place: Place, state: Path) -> None:
    port = int(arguments.get("endpoint_port", 8080))
    if not 1 <= port <= 65_535:
        raise ConfigurationError(f"endpoint_port={port} is no port; choose one of 1024 to 65535.")
    owners = [one for one in {place, *find_places(state)} if one.listens_on(port)]
    if place in owners or port_is_free(port):
        return
    owner = owners[0].model_name if owners else ""
    who = f"the endpoint '{owner}'" if owner else "another program"
    cure = f", or free it: shipway stop {owner}" if owner else ""
    raise ConfigurationError(
        f"Port {port} is in use by {who}. Choose another one: --set endpoint_port={port + 1}{cure}."
    )


def _new_folder(state: Path, name: str) -> Path:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for suffix in ["", *(f"-{count}" for count in range(2, 100))]:
        folder = (state / "runs" / f"{stamp}-{name}{suffix}").absolute()
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise ConfigurationError(f"'{state / 'runs'}' holds too many runs of this second.")


def _keep_reports(run: Run) -> None:
    """Copy each HTML page to `reports/STEP.html`: KFP's artifacts have no suffix."""
    for step in run.steps:
        for name, path in step.artifacts.items():
            if step.types[name] == "system.HTML" and path.is_file():
                page = run.folder / "reports" / f"{step.name}.html"
                page.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, page)
                run.reports[step.name] = page


def _endpoint(run: Run) -> str:
    """The endpoint's base URL, when it answers with the model that this run released."""
    if not any(step.verdict == "promoted" for step in run.steps):
        return ""
    path = run.artifact("deploy-model", "serving_record")
    if path is None:
        return ""
    record = ServingRecord.load(path)
    if record.target == "kserve":
        return record.stable_endpoint  # in the cluster, where the release has asked it
    folder = serving_dir_of(str(run.arguments["model_store"]))
    for endpoint in list_endpoints(folder):
        if endpoint.digest == record.digest and is_answering(endpoint):
            return endpoint.endpoint
    return ""


def _record(run: Run, pipeline: CompiledPipeline) -> None:
    write_json_aside(
        run.folder / "run.json",
        {
            "pipeline": pipeline.name,
            "arguments": dict(run.arguments),
            "seconds": round(run.seconds, 2),
            "endpoint": run.endpoint,
            "reports": {name: str(path) for name, path in run.reports.items()},
            "steps": [
                {
                    "name": step.name,
                    "state": step.state,
                    "seconds": round(step.seconds, 2),
                    "verdict": step.verdict,
                    "log": str(step.log),
                    "artifacts": {name: str(path) for name, path in step.artifacts.items()},
                }
                for step in run.steps
            ],
        },
    )
