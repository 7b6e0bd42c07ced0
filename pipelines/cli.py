"""The `shipway` command."""

import json
import logging
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from shipway.components import __version__
from shipway.components.lib.errors import ConfigurationError, ShipwayError
from shipway.pipelines import cli_kubeflow, cli_schema
from shipway.pipelines.options import Command, given_parameters

STOPPED_BY_A_GATE = 3
INTERRUPTED = 130
STATE = Path(".shipway")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shipway")
def cli() -> None:
    """From a table in a bucket to a proven KServe endpoint."""


@cli.command("compile", cls=Command, example="shipway compile --check")
@click.option("--check", is_flag=True, help="Change nothing; fail when a YAML is out of date.")
@click.option("--registry", default="", help="Registry to take the images from.")
@click.option("--tag", default="", help="Tag of the images.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to write to.")
@click.option(
    "--kubernetes-manifests",
    "objects",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write Pipeline and PipelineVersion objects to a folder instead, for GitOps.",
)
@click.option("--namespace", default="", help="Namespace of those objects.")
def compile_command(
    check: bool, registry: str, tag: str, output: Path | None, objects: Path | None, namespace: str
) -> None:
    """Write the pipelines' YAML."""
    from shipway.pipelines import gitops
    from shipway.pipelines.compile import out_of_date, write_compiled
    from shipway.pipelines.specs import COMPILED

    if objects and output:
        raise ConfigurationError("Give --output or --kubernetes-manifests, not both.")
    if namespace and not objects:
        raise ConfigurationError("--namespace is for --kubernetes-manifests; give a folder there.")
    folder = objects or output or COMPILED
    if objects:
        outdated = partial(gitops.outdated_manifests, objects, namespace, registry, tag)
        write = partial(gitops.write_manifests, objects, namespace, registry, tag)
    else:
        outdated = partial(out_of_date, folder)
        write = partial(write_compiled, folder, registry, tag)
    if check:
        stale = outdated()
        if stale:
            raise ConfigurationError(
                f"{', '.join(stale)}.yaml in '{folder}' is not what the source compiles to; "
                "run `shipway compile` with the same options and commit the result."
            )
        print(f"{folder} is up to date.")
        return
    for path in write():
        print(path)


@cli.command(
    cls=Command,
    example="shipway run train-and-deploy --set data_uri=trips.csv --set label=big_tipper "
    "--set model_name=tips",
)
@click.argument("pipeline")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter.")
@click.option("--params", type=click.Path(path_type=Path), help="YAML file of parameters.")
@click.option(
    "--runner",
    type=click.Choice(["process", "docker"]),
    default="process",
    show_default=True,
    help="Steps as processes, or in containers of the images.",
)
@click.option("--list", "listing", is_flag=True, help="List the pipeline's parameters.")
def run(
    pipeline: str, settings: tuple[str, ...], params: Path | None, runner: str, listing: bool
) -> None:
    """Run a compiled pipeline on this machine, to an endpoint that answers.

    Exit code 0 says that the endpoint answers, 1 that a step failed, 3 that a gate stopped the run.
    """
    from shipway.pipelines.specs import load_compiled

    compiled = load_compiled(pipeline)
    if listing:
        for parameter in compiled.parameters.values():
            need = "required" if parameter.required else f"default {parameter.default!r}"
            print(f"{parameter.name:22} {need:24} {parameter.description}")
        return
    from shipway.pipelines.run import start
    from shipway.pipelines.summary import show

    given = given_parameters(settings, params)
    # The very stream: while KFP runs, what it prints goes to a log instead of `sys.stdout`.
    console = Console(file=sys.stdout, highlight=False)
    signal.signal(signal.SIGTERM, _interrupt)
    result = start(compiled, given, STATE.absolute(), console, runner)
    show(result, console)
    if not result.endpoint:
        sys.exit(STOPPED_BY_A_GATE if result.stopped_by and not result.failed else 1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@cli.command(cls=Command, example="shipway images --target serve --engine podman")
@click.option("--target", "targets", multiple=True, type=click.Choice(["data", "train", "serve"]))
@click.option("--base-image", default="", help="Build on this: Debian 13 or newer, Python 3.13.")
@click.option("--engine", default="", type=click.Choice(["", "docker", "podman", "buildah"]))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def images(
    targets: tuple[str, ...], base_image: str, engine: str, arguments: tuple[str, ...]
) -> None:
    """Build the images, and a CycloneDX bill of materials for each.

    What follows `--` goes to the engine's own `build`.
    """
    from shipway.components.lib.images import TARGETS
    from shipway.pipelines.images import Builder, find_engine

    builder = Builder(find_engine(engine), base_image=base_image, arguments=arguments)
    for target in targets or TARGETS.values():
        print(builder.build(target))


@cli.command(cls=Command, example="shipway serve .shipway/models/churn/versions/1 --port 8081")
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option("--name", default="", help="Name of the endpoint; the model's own by default.")
@click.option("--port", default=8080, show_default=True)
def serve(model_dir: Path, name: str, port: int) -> None:
    """Serve a model package on this machine until `shipway stop`."""
    from shipway.components.lib.images import SERVE
    from shipway.pipelines.endpoints import serve as serve_package
    from shipway.pipelines.environments import prepare

    environment = prepare([SERVE], STATE.absolute(), click.echo)[SERVE]
    record = serve_package(
        model_dir.absolute(),
        serving_dir=STATE.absolute() / "serving",
        model_name=name,
        port=port,
        interpreter=environment / "bin" / "python",
    )
    print(f"'{record.model_name}' answers at {record.endpoint}")


@cli.command(cls=Command, example="shipway status")
def status() -> None:
    """Show the endpoints on this machine; exit code 1 when one does not answer."""
    from shipway.components.lib.answering import is_answering
    from shipway.pipelines.endpoints import find_places

    endpoints = [place.live for place in find_places(STATE.absolute()) if place.live]
    if not endpoints:
        print("No endpoint runs here. Start one: shipway run train-and-deploy ...")
        return
    answers = [is_answering(endpoint) for endpoint in endpoints]
    for endpoint, answer in zip(endpoints, answers, strict=True):
        state = "answers" if answer else "does not answer"
        print(
            f"{endpoint.model_name}  version {endpoint.version or '-'}  {endpoint.endpoint}  "
            f"{state}  pid {endpoint.pid}  log {endpoint.log}"
        )
    if not all(answers):
        sys.exit(1)


@cli.command(cls=Command, example="shipway stop churn")
@click.argument("model_names", nargs=-1)
def stop(model_names: tuple[str, ...]) -> None:
    """Stop endpoints on this machine, all of them by default."""
    from shipway.components.lib.serving_process import stop_endpoint
    from shipway.pipelines.endpoints import find_places

    places = find_places(STATE.absolute())
    known = sorted({place.model_name for place in places if place.live})
    for name in model_names:
        if name not in known:
            raise ConfigurationError(
                f"No endpoint '{name}' runs here; there is {', '.join(known) or 'none'}."
            )
    for place in places:
        if place.model_name in model_names or not model_names:
            runs = place.live is not None
            stop_endpoint(*place)
            if runs:
                print(f"Stopped '{place.model_name}'.")


@cli.command(cls=Command, example="shipway reports --open")
@click.option("--open", "opening", is_flag=True, help="Open them in the browser.")
def reports(opening: bool) -> None:
    """List the reports of the latest run."""
    runs = sorted((STATE / "runs").glob("*/run.json"))
    if not runs:
        raise ConfigurationError("No run is recorded here; start one with `shipway run`.")
    for step, page in json.loads(runs[-1].read_text(encoding="utf-8"))["reports"].items():
        print(f"{step:16} {page}")
        if opening:
            click.launch(page)


@cli.command(cls=Command, example="shipway sample churn --rows 20000 --out data")
@click.argument("name", type=click.Choice(["churn"]))
@click.option("--rows", default=20_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--leak", is_flag=True, help="Add a column that only the outcome explains.")
@click.option("--drift", is_flag=True, help="Shift the columns as a later month would.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("."), help="Folder.")
def sample(name: str, rows: int, seed: int, leak: bool, drift: bool, out: Path) -> None:
    """Write a made-up table to try the pipelines with."""
    from shipway.pipelines.sample import write_sample

    print(write_sample(out, rows, seed, leak, drift))


for command in (cli_kubeflow.submit, cli_kubeflow.upload, cli_kubeflow.schedule, cli_schema.schema):
    cli.add_command(command)


def main() -> None:
    """Run the command; a user's error is one message and exit code 1."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        cli(standalone_mode=False)
    except ShipwayError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        print("Interrupted; nothing of this run is left running.", file=sys.stderr)
        sys.exit(INTERRUPTED)
