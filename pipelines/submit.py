"""What `shipway submit`, `upload` and `schedule` check before anything is sent."""

import datetime
from collections.abc import Mapping
from typing import Any

from shipway.components.lib.errors import ConfigurationError
from shipway.pipelines.package import Package, make_package
from shipway.pipelines.specs import CompiledPipeline, check_arguments, load_compiled

CRON_FIELDS = ("second", "minute", "hour", "day", "month", "weekday")


def prepare(
    pipeline: str, given: Mapping[str, Any], registry: str, tag: str, caching: bool
) -> tuple[CompiledPipeline, dict[str, Any], Package]:
    """Find a pipeline, and make ready what is sent of it.

    Raises:
        ConfigurationError: there is no such pipeline, or it cannot run so on a cluster.
    """
    compiled = load_compiled(pipeline)
    arguments = _cluster_arguments(compiled, given)
    return compiled, arguments, make_package(compiled, registry, tag, caching)


def _cluster_arguments(pipeline: CompiledPipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """The user's values, each of which must mean something in a pod."""
    arguments = check_arguments(pipeline, given)
    problems = [
        f"Parameter '{name}' is a path of this machine ({value!r}), which no pod has; copy it to "
        f"a bucket: --set {name}=gs://..."
        for name, value in arguments.items()
        if name.endswith(("_uri", "_store")) and value and _is_local(str(value))
    ]
    if arguments.get("serving_target") == "local":
        problems.append(
            "serving_target=local starts a server on this machine; on Kubeflow leave it out, or "
            "run here: shipway run"
        )
    if problems:
        raise ConfigurationError("\n".join(problems))
    return arguments


def _is_local(place: str) -> bool:
    """A path without a scheme; an absolute one may be a volume's."""
    return "://" not in place and not place.startswith("/")


def check_cron(cron: str) -> str:
    """The cron expression, its blanks made single.

    Raises:
        ConfigurationError: it has not the six fields that Kubeflow Pipelines reads.
    """
    fields = cron.split()
    if fields and (fields[0].startswith("@") or len(fields) == len(CRON_FIELDS)):
        return " ".join(fields)
    if len(fields) == len(CRON_FIELDS) - 1:
        raise ConfigurationError(
            f"--cron '{cron}' has five fields; Kubeflow Pipelines reads seconds first and would "
            f"start at other times. Write --cron '0 {' '.join(fields)}'"
        )
    raise ConfigurationError(
        f"--cron '{cron}' must have six fields: {', '.join(CRON_FIELDS)}. Every day at four: "
        "--cron '0 0 4 * * *'"
    )


def run_name(pipeline: CompiledPipeline) -> str:
    """A name for a run that the user gave none."""
    return f"{pipeline.name} {datetime.datetime.now():%Y-%m-%d %H-%M-%S}"
