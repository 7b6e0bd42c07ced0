"""What the commands of `shipway` share: help with an example, and parameters as they are given."""

from pathlib import Path
from typing import Any

import click
import yaml

from shipway.components.lib.errors import ConfigurationError


class Command(click.Command):
    """A command whose help ends with one example."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epilog = f"Example:  {example}"


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
