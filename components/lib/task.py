"""What is to be predicted: the task and its classes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

Label = str | int | bool


@dataclass(frozen=True)
class Target:
    """The task, its classes and the positive class.

    Attributes:
        task: "binary", "multiclass" or "regression".
        classes: the label's values, sorted; empty for a regression.
        positive_class: of a binary task, the last class; None otherwise.
    """

    task: str
    classes: list[Label] = field(default_factory=list)
    positive_class: Label | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "task": self.task,
            "classes": list(self.classes),
            "positive_class": self.positive_class,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Target":
        """The inverse of `to_json`."""
        return cls(value["task"], list(value["classes"]), value["positive_class"])

    def encode(self, labels: "pa.ChunkedArray | pa.Array") -> np.ndarray:
        """The label as numbers.

        Returns:
            float32 values for a regression, else int32 codes into `classes`; shape (n,).

        Raises:
            DataError: a label is missing, or is a class that training did not have.
        """
        from shipway.components.lib.labels import encode_labels

        return encode_labels(self, labels)
