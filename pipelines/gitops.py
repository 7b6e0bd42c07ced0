"""Pipelines as Kubernetes objects, for those who deploy them from git."""

import hashlib
import re
import tempfile
from importlib import import_module
from pathlib import Path

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.files import write_text_aside
from shipway.components.lib.images import VERSION
from shipway.pipelines.compile import PIPELINES, compile_pipeline, with_images

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
MAX_NAME = 63
HASH_DIGITS = 8


def write_manifests(
    folder: Path, namespace: str = "", registry: str = "", tag: str = ""
) -> list[Path]:
    """Write the Pipeline and the PipelineVersion of every pipeline; returns the files.

    Raises:
        ConfigurationError: the namespace cannot be one.
    """
    paths = []
    for module in PIPELINES:
        path = folder / f"{module}.yaml"
        write_text_aside(path, manifest(module, namespace, registry, tag))
        paths.append(path)
    return paths


def outdated_manifests(
    folder: Path, namespace: str = "", registry: str = "", tag: str = ""
) -> list[str]:
    """Names of the pipelines whose file is not what would be written."""
    return [
        module
        for module in PIPELINES
        if not (path := folder / f"{module}.yaml").is_file()
        or path.read_text(encoding="utf-8") != manifest(module, namespace, registry, tag)
    ]


def manifest(module: str, namespace: str = "", registry: str = "", tag: str = "") -> str:
    """The two objects of one pipeline, as KFP's own compiler writes them.

    Raises:
        ConfigurationError: the namespace cannot be one.
    """
    from kfp import compiler
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    if namespace and not (NAME.fullmatch(namespace) and len(namespace) <= MAX_NAME):
        raise ConfigurationError(
            f"'--namespace {namespace}' cannot name a namespace: at most {MAX_NAME} lower-case "
            "letters, digits and '-'."
        )
    content = content_hash(with_images(compile_pipeline(module), registry, tag))
    pipeline = getattr(import_module(f"shipway.pipelines.{module}"), module)
    name = module.replace("_", "-")
    options = KubernetesManifestOptions(
        pipeline_name=name,
        pipeline_display_name=pipeline.pipeline_spec.pipeline_info.display_name or name,
        pipeline_version_name=f"{name}-{VERSION.replace('.', '-')}-{content}",
        pipeline_version_display_name=f"{VERSION} ({content})",
        namespace=namespace or None,
        include_pipeline_manifest=True,
    )
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "manifest.yaml"
        compiler.Compiler().compile(
            pipeline,
            str(path),
            kubernetes_manifest_options=options,
            kubernetes_manifest_format=True,
        )
        text = path.read_text(encoding="utf-8")
    return f"# Written by `shipway compile`; do not edit.\n{with_images(text, registry, tag)}"


def content_hash(compiled: str) -> str:
    """What tells one content from another.

    Kubeflow Pipelines lets nobody change a PipelineVersion, so another content has another name.
    """
    return hashlib.sha256(compiled.encode()).hexdigest()[:HASH_DIGITS]
