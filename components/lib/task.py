"""What is to be predicted: the task and its classes, and what goes with each task."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

Label = str | int | bool


@dataclass(frozen=True)
class Kind:
    """What goes with a task, so that a new one is a row of `TASKS`.

    Attributes:
        numeric: whether labels and answers are numbers, and not classes.
        objective: XGBoost's, where none is named.
        loss: XGBoost's metric, by which validation rows stop the training.
        metrics: that it is measured by.
        main_metric: that decides, of them.
        constant: the baseline that looks at no column, in words.
    """

    numeric: bool
    objective: str
    loss: str
    metrics: tuple[str, ...]
    main_metric: str
    constant: str = "the best constant answer"


TASKS = {
    "binary": Kind(
        False, "binary:logistic", "logloss",
        (
            *("auc", "average_precision", "log_loss", "brier"),
            *("accuracy", "precision", "recall", "f1", "ece"),
        ),
        "auc",
    ),
    "multiclass": Kind(
        False, "multi:softprob", "mlogloss",
        ("log_loss", "accuracy", "macro_f1", "auc_ovr", "ece"), "log_loss",
    ),
    "regression": Kind(
        True, "reg:squarederror", "rmse",
        (
            *("rmse", "mae", "r2", "mape"),
            *("interval_coverage", "interval_width", "pinball_loss"),
        ),
        "rmse",
    ),
    "ranking": Kind(
        True, "rank:ndcg", "ndcg@10",
        ("ndcg@5", "ndcg@10", "map@10", "mrr"), "ndcg@10", "a random order",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """The task, its classes and the positive class.

    Attributes:
        task: "binary", "multiclass", "regression" or "ranking".
        classes: the label's values, sorted; empty where it is a number.
        positive_class: of a binary task, the last class; None otherwise.
    """

    task: str
    classes: list[Label] = field(default_factory=list)
    positive_class: Label | None = None

    @property
    def kind(self) -> Kind:
        """What goes with the task."""
        return TASKS[self.task]

    @property
    def ranked(self) -> bool:
        """Whether answers are an order of the rows of each query."""
        return self.task == "ranking"

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
            float32 values of a number, else int32 codes into `classes`; shape (n,).

        Raises:
            DataError: a label is missing, or is a class that training did not have.
        """
        from shipway.components.lib.labels import encode_labels

        return encode_labels(self, labels)
