"""What Kubeflow's artifacts take of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Evaluated:
    """What the Kubeflow artifacts take: finite floats, and curves as ready lists.

    Attributes:
        metrics: values by name, with `_low` and `_high` of the main metric.
        metadata: flat metadata of the evaluation artifact.
        confusion: class names and a square matrix, rows the true class; empty for a regression.
        roc: false positive rates, true positive rates, thresholds; empty unless binary.
    """

    metrics: dict[str, float]
    metadata: dict[str, str | float]
    confusion: tuple[list[str], list[list[int]]] = field(default_factory=lambda: ([], []))
    roc: tuple[list[float], list[float], list[float]] = field(default_factory=lambda: ([], [], []))


def evaluated(document: Mapping[str, Any]) -> Evaluated:
    """What Kubeflow is told of an evaluation.

    Args:
        document: every figure, as the JSON file has it.
    """
    main = document["main_metric"]
    metrics = {name: metric["value"] for name, metric in document["metrics"].items()}
    ends = document["metrics"].get(main, {})
    for end in ("low", "high"):
        if ends.get(end) is not None:
            metrics[f"{main}_{end}"] = ends[end]
    metadata: dict[str, str | float] = {
        "task": document["task"],
        "main_metric": main,
        "rows": float(document["rows"]),
        "digest": document["digest"],
    }
    if main in document["metrics"]:
        metadata[main] = ends["value"]
    matrix = document["confusion"]
    columns = [[point[axis] for point in document["roc"]] for axis in range(3)]
    return Evaluated(
        metrics,
        metadata,
        (matrix["classes"], matrix["matrix"]),
        (columns[0], columns[1], columns[2]),
    )
