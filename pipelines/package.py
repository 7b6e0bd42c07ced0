"""A compiled pipeline made ready for a cluster: its images, its caching, its version's name."""

import copy
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from shipway.components import __version__
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.images import TARGETS
from shipway.pipelines.compile import with_images
from shipway.pipelines.specs import CompiledPipeline


@dataclass(frozen=True)
class Package:
    """What is sent of a pipeline.

    Attributes:
        name: of the pipeline.
        text: the YAML, for an upload.
        caching: whether steps may take what an equal step made before.
    """

    name: str
    text: str
    caching: bool = True

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The YAML as the API has it: one mapping, of both documents where there are two."""
        spec, *platforms = list(yaml.load_all(self.text, yaml.CSafeLoader))
        if not self.caching:
            spec = _without_caching(spec)
        if not platforms:
            return dict(spec)
        return {"pipeline_spec": spec, "platform_spec": platforms[0]}


def _without_caching(spec: dict[str, Any]) -> dict[str, Any]:
    """No step is cached; KFP's own switch reaches only the steps outside of any If."""
    spec = copy.deepcopy(spec)
    for component in [spec["root"], *spec["components"].values()]:
        for task in component.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}
    return spec


def make_package(
    pipeline: CompiledPipeline, registry: str = "", tag: str = "", caching: bool = True
) -> Package:
    """Read a compiled pipeline's YAML, with its images in another place if one is named.

    Raises:
        ConfigurationError: a place is named, but the YAML has none of Shipway's images.
    """
    text = pipeline.path.read_text(encoding="utf-8")
    if registry or tag:
        if not TARGETS.keys() & set(pipeline.images):
            raise ConfigurationError(
                f"'{pipeline.path}' has none of the images {', '.join(sorted(TARGETS))} that "
                "--registry and --tag move; compile it with them instead."
            )
        text = with_images(text, registry, tag)
    return Package(pipeline.name, text, caching)


def version_name(pipeline: CompiledPipeline) -> str:
    """The name of a pipeline's version: what git says of its file, or else Shipway's version."""
    folder, name = pipeline.path.absolute().parent, pipeline.path.name
    if _git(folder, "ls-files", "--error-unmatch", name):
        return _git(folder, "describe", "--tags", "--always", "--dirty") or __version__
    return __version__


def _git(folder: Path, *words: str) -> str:
    """What git prints, or nothing where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
