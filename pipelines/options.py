"""What the commands of `shipway` share: help with an example, and parameters as they are given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from shipway.components.lib.errors import ConfigurationError

FILE = click.Path(path_type=Path)
# Where a Kubeflow Pipelines is, and which images it is to take.
WHERE = [
    click.option(
        "--host",
        default="",
        envvar="KF_PIPELINES_ENDPOINT",
        show_envvar=True,
        metavar="URL",
        help="Kubeflow Pipelines, as the browser has it.",
    ),
    click.option(
        "--namespace",
        default="",
        envvar="NAMESPACE",
        show_envvar=True,
        help="Your namespace, where the installation has many users.",
    ),
    click.option(
        "--token-file",
        type=FILE,
        envvar="KF_PIPELINES_SA_TOKEN_PATH",
        show_envvar=True,
        help="File with a bearer token.",
    ),
    click.option("--ca-file", type=FILE, help="File with the certificates to trust."),
    click.option("--registry", default="", help="Registry to take the images from."),
    click.option("--tag", default="", help="Tag of the images."),
]
# What a run on it is given.
RUN = [
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter."),
    click.option("--params", type=FILE, help="YAML file of parameters."),
    click.option("--experiment", default="", help="Group of runs; the pipeline's by default."),
    click.option("--service-account", default="", help="Account that the pods run as."),
    click.option("--no-cache", is_flag=True, help="Run every step, even where an equal one ran."),
]


class Command(click.Command):
    """A command whose help ends with one example."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epilog = f"Example:  {example}"


def with_options(options: list[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that adds options, first on top."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def given_parameters(settings: tuple[str, ...], path: Path | None) -> dict[str, Any]:
    """The values of a `--params` file, with those of `--set` in their place.

    Raises:
        ConfigurationError: a setting has no value, or the file is no mapping.
    """
    return {**_file_of(path), **dict(_setting(text) for text in settings)}


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"'--set {text}' has no value; write --set {text}=VALUE.")
    return name.strip(), value


def _file_of(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"Cannot read the parameters in '{path}': {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"'{path}' must be a mapping of parameter names to values.")
    return values
