"""Compile the pipelines to YAML: ASCII, byte-stable, with image references to rewrite."""

import tempfile
from pathlib import Path

import yaml

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.files import write_text_aside
from shipway.components.lib.images import REGISTRY, TARGETS, VERSION

PIPELINES = ("train_and_deploy",)
MAX_BYTES = 200_000


def compile_pipeline(module: str) -> str:
    """The YAML of one pipeline, as `shipway compile` writes it.

    Raises:
        ConfigurationError: the YAML is not ASCII, or is larger than a workflow may be.
    """
    from importlib import import_module

    from kfp import compiler

    pipeline = getattr(import_module(f"shipway.pipelines.{module}"), module)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        text = _stable(path.read_text(encoding="utf-8"))
    if not text.isascii():
        raise ConfigurationError(
            f"Pipeline '{module}' compiles to YAML that is not ASCII, which some KFP databases "
            "refuse; write its docstrings in ASCII."
        )
    if len(text) > MAX_BYTES:
        raise ConfigurationError(
            f"Pipeline '{module}' compiles to {len(text):,} bytes; keep it below {MAX_BYTES:,}."
        )
    return text


def _stable(text: str) -> str:
    """Without KFP's comment header, whose order of mapping defaults differs from run to run."""
    lines = text.splitlines(keepends=True)
    start = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    return "# Written by `shipway compile`; do not edit.\n" + "".join(lines[start:])


def with_images(text: str, registry: str = "", tag: str = "") -> str:
    """Compiled YAML with its image references moved to another registry or tag."""
    for image, target in TARGETS.items():
        moved = f"{registry.rstrip('/') or REGISTRY}/shipway-{target}:{tag or VERSION}"
        text = text.replace(f"image: {image}\n", f"image: {moved}\n")
    return text


def write_compiled(folder: Path, registry: str = "", tag: str = "") -> list[Path]:
    """Compile every pipeline into a folder and return the files."""
    paths = []
    for module in PIPELINES:
        path = folder / f"{module}.yaml"
        write_text_aside(path, with_images(compile_pipeline(module), registry, tag))
        paths.append(path)
    return paths


def out_of_date(folder: Path) -> list[str]:
    """Names of the pipelines whose committed YAML differs from what the source compiles to."""
    stale = []
    for module in PIPELINES:
        path = folder / f"{module}.yaml"
        if not path.is_file() or _documents(path.read_text(encoding="utf-8")) != _documents(
            compile_pipeline(module)
        ):
            stale.append(module)
    return stale


def _documents(text: str) -> list[object]:
    return list(yaml.load_all(text, yaml.CSafeLoader))
