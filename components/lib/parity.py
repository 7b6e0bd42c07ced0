"""Comparing what an endpoint answered with what the model gave on the bench."""

import json
import math
from dataclasses import dataclass
from typing import Any

from shipway.components.lib.endpoint import Reply

Output = dict[str, Any]

# The largest difference of a probability or a value that rounding explains.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Parity:
    """How an endpoint's answers differ from the expected ones.

    Attributes:
        differences: the largest absolute difference of each row.
        labels: rows whose label is another one.
        problem: why the answers cannot be compared; empty when they can.
    """

    differences: list[float]
    labels: list[int]
    problem: str = ""

    @property
    def largest(self) -> float | None:
        """The largest difference, or None when the answers cannot be compared."""
        return None if self.problem or not self.differences else max(self.differences)


def compare_v1(reply: Reply, expected: list[Output]) -> Parity:
    """Compare a V1 answer with expected outputs, row by row."""
    return _compare(reply, expected, lambda value: value["predictions"])


def compare_v2(reply: Reply, expected: list[Output]) -> Parity:
    """Compare a V2 answer with expected outputs, row by row."""
    return _compare(reply, expected, _rows_of_tensors)


def _compare(reply: Reply, expected: list[Output], rows_of: Any) -> Parity:
    if reply.status != 200:
        return Parity([], [], f"the status is {reply.status}: {str(reply.value)[:300]}")
    try:
        answered = rows_of(reply.value)
        if len(answered) != len(expected):
            return Parity([], [], f"{len(expected)} rows were sent and {len(answered)} came back")
        pairs = list(zip(answered, expected, strict=True))
        differences = [_difference(*pair) for pair in pairs]
        labels = [i for i, (a, e) in enumerate(pairs) if "label" in e and not _same_label(a, e)]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return Parity([], [], f"the answer is not of the expected form ({error!r})")
    return Parity(differences, labels)


def _same_label(answered: Output, expected: Output) -> bool:
    # V2 carries labels as text, whatever the type of the class.
    return str(answered["label"]) == str(expected["label"])


def _difference(answered: Output, expected: Output) -> float:
    if "value" in expected:
        gaps = [abs(float(answered["value"]) - float(expected["value"]))]
    else:
        had, came = expected["probabilities"], answered["probabilities"]
        if had.keys() != came.keys():
            raise ValueError(f"classes {sorted(came)} instead of {sorted(had)}")
        gaps = [abs(float(came[name]) - float(had[name])) for name in had]
    return max(gap if math.isfinite(gap) else math.inf for gap in gaps)


def _rows_of_tensors(value: Any) -> list[Output]:
    outputs = {output["name"]: output for output in value["outputs"]}
    if "value" in outputs:
        return [{"value": item} for item in outputs["value"]["data"]]
    probabilities = outputs["probabilities"]
    classes = json.loads(probabilities["parameters"]["classes"])
    width, data = len(classes), probabilities["data"]
    return [
        {
            "label": label,
            "probabilities": dict(
                zip(classes, data[index * width : (index + 1) * width], strict=True)
            ),
        }
        for index, label in enumerate(outputs["label"]["data"])
    ]
