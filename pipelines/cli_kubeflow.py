"""`shipway submit`, `upload` and `schedule`: pipelines on Kubeflow."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shipway.pipelines.options import RUN, WHERE, Command, given_parameters, with_options

if TYPE_CHECKING:
    from shipway.pipelines.kubeflow import Kubeflow
    from shipway.pipelines.specs import CompiledPipeline
    from shipway.pipelines.watch import Outcome

FAILED, STOPPED_BY_A_GATE, TIMED_OUT, INTERRUPTED = 1, 3, 124, 130


@click.command(
    cls=Command,
    example="shipway submit train-and-deploy --host http://localhost:8080 "
    "--params churn.yaml --wait",
)
@click.argument("pipeline")
@with_options(WHERE)
@with_options(RUN)
@click.option("--run-name", default="", help="Name of the run.")
@click.option("--wait", is_flag=True, help="Wait for its end and show its steps.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait at most.")
def submit(
    pipeline: str,
    settings: tuple[str, ...],
    params: Path | None,
    experiment: str,
    service_account: str,
    no_cache: bool,
    run_name: str,
    wait: bool,
    timeout: float | None,
    registry: str,
    tag: str,
    **access: Any,
) -> None:
    """Run a compiled pipeline on Kubeflow.

    Exit code 0 says that the run is started; with --wait, that it succeeded. With --wait, 1 says
    that a step failed, 3 that a gate stopped the run, 124 that the time was over: the run goes on.
    """
    from shipway.pipelines.kubeflow import Settings
    from shipway.pipelines.submit import prepare
    from shipway.pipelines.submit import run_name as named

    if timeout is not None and not wait:
        raise click.UsageError("--timeout says how long to --wait; give both.")
    given = given_parameters(settings, params)
    compiled, arguments, package = prepare(pipeline, given, registry, tag, not no_cache)
    run = Settings(run_name or named(compiled), experiment or compiled.name, service_account)
    started = ""
    try:
        kubeflow = _connect(**access)
        run_id = kubeflow.submit(package, arguments, run)
        started = f"Run '{run.name}': {kubeflow.run_url(run_id)}"
        print(started, flush=True)
        if wait:
            sys.exit(_wait(kubeflow, run_id, compiled, timeout or 0.0))
    except KeyboardInterrupt:
        goes_on = started or f"If '{run.name}' was submitted already, it goes on."
        print(f"\nInterrupted; what runs on Kubeflow goes on. {goes_on}", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _connect(
    host: str, namespace: str, token_file: Path | None, ca_file: Path | None
) -> "Kubeflow":
    from shipway.pipelines.connection import Connection, find_access
    from shipway.pipelines.kubeflow import Kubeflow

    kubeflow = Kubeflow(Connection(find_access(host, namespace, token_file, ca_file)))
    if namespace and not kubeflow.multi_user:
        print(f"{host} has one user: namespace '{namespace}' is not used.", file=sys.stderr)
    return kubeflow


def _wait(kubeflow: "Kubeflow", run_id: str, pipeline: "CompiledPipeline", timeout: float) -> int:
    """Wait, say how the run ended, and return the exit code that says the same."""
    from rich.console import Console

    from shipway.components.lib.errors import KubeflowError
    from shipway.pipelines.watch import watch

    console = Console(file=sys.stdout, highlight=False)
    try:
        outcome = watch(kubeflow, run_id, pipeline, console, timeout)
    except KubeflowError as error:
        raise KubeflowError(f"{error}\nThe run goes on: {kubeflow.run_url(run_id)}") from error
    url = kubeflow.run_url(run_id)
    namespace = kubeflow.namespace or "kubeflow"
    if outcome.state == "TIMEOUT":
        print(f"Not ended after {timeout:g} s; the run goes on: {url}", file=sys.stderr)
        return TIMED_OUT
    if outcome.state != "SUCCEEDED":
        print(_failure(outcome, namespace, run_id, url), file=sys.stderr)
        return FAILED
    if outcome.closed_by:
        print(f"Stopped by the gate '{outcome.closed_by}'; its report says why: {url}")
        return STOPPED_BY_A_GATE
    print(f"Succeeded: {url}")
    return 0


def _failure(outcome: "Outcome", namespace: str, run_id: str, url: str) -> str:
    lines = [f"The run {outcome.state.lower()}{': ' if outcome.message else '.'}{outcome.message}"]
    for step, message in outcome.failed.items():
        lines.append(f"'{step}' failed: {message or 'the API does not say why; its log does.'}")
    logs = f"kubectl -n {namespace} logs -l pipeline/runid={run_id} -c main --prefix --tail 50"
    return "\n".join([*lines, f"Look at it: {url}", f"Its logs: {logs}"])


@click.command(cls=Command, example="shipway upload --host http://localhost:8080")
@click.argument("pipeline", required=False)
@with_options(WHERE)
@click.option("--version-name", default="", help="Name of the version; git's by default.")
def upload(pipeline: str | None, version_name: str, registry: str, tag: str, **access: Any) -> None:
    """Upload a pipeline to Kubeflow as a new version, or all of them."""
    from shipway.pipelines import package
    from shipway.pipelines.specs import COMPILED, load_compiled

    names = [pipeline] if pipeline else [str(path) for path in sorted(COMPILED.glob("*.yaml"))]
    pipelines = [load_compiled(name) for name in names]
    packages = [package.make_package(compiled, registry, tag) for compiled in pipelines]
    kubeflow = _connect(**access)
    for compiled, one in zip(pipelines, packages, strict=True):
        name = version_name or package.version_name(compiled)
        version = kubeflow.upload(one, name)
        done = "Uploaded" if version.made else "Uploaded before, with the same content:"
        print(f"{done} version '{name}' of '{compiled.name}': {version.url}")


@click.command(
    cls=Command,
    example="shipway schedule train-and-deploy --host http://localhost:8080 "
    "--params churn.yaml --cron '0 0 4 * * *'",
)
@click.argument("pipeline")
@with_options(WHERE)
@with_options(RUN)
@click.option("--cron", required=True, help="Six fields, seconds first; in UTC by default.")
@click.option("--name", default="", help="Name of the schedule; the pipeline's by default.")
@click.option(
    "--max-concurrency", type=click.IntRange(1, 10), default=1, show_default=True, help="Runs."
)
@click.option("--catchup/--no-catchup", help="Make up for missed runs; not by default.")
def schedule(
    pipeline: str,
    settings: tuple[str, ...],
    params: Path | None,
    experiment: str,
    service_account: str,
    no_cache: bool,
    cron: str,
    name: str,
    max_concurrency: int,
    catchup: bool,
    registry: str,
    tag: str,
    **access: Any,
) -> None:
    """Run a compiled pipeline on Kubeflow again and again."""
    from shipway.pipelines.kubeflow import Settings
    from shipway.pipelines.submit import check_cron, prepare

    cron = check_cron(cron)
    given = given_parameters(settings, params)
    compiled, arguments, package = prepare(pipeline, given, registry, tag, not no_cache)
    run = Settings(name or compiled.name, experiment or compiled.name, service_account)
    kubeflow = _connect(**access)
    made = kubeflow.schedule(package, arguments, run, cron, max_concurrency, catchup)
    print(f"Schedule '{run.name}' at '{cron}': {kubeflow.schedule_url(made)}")
