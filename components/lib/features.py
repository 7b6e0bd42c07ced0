"""The feature plan: how a raw row becomes the model's row, in training, in batches and in serving.

Fitted on the training split alone and kept as JSON. Nulls stay nulls (NaN); unseen categories go
where training put rare ones. All features are made in float64 and rounded to float32 once.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shipway.components.lib.encoders import ColumnPlan, encoder_of
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.interactions import Interaction, Widen, widener
from shipway.components.lib.pairs import pair_encoder_of
from shipway.components.lib.task import Target

if TYPE_CHECKING:
    from shipway.components.lib.transform import Rows


@dataclass(frozen=True)
class DroppedColumn:
    """A raw column that the model does not use, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class FeaturePlan:
    """What becomes of every raw column.

    Attributes:
        label: the column to predict.
        target: its task and classes.
        columns: the raw columns that are used, in table order.
        dropped: the raw columns that are not.
        group_column: rows of one group stay in one fold of the out-of-fold statistics.
        weight_column: weighs the rows in training; not a feature.
        seed: draws the folds.
        interactions: features of two raw columns; they stand behind those of the columns.
    """

    label: str
    target: Target
    columns: list[ColumnPlan]
    dropped: list[DroppedColumn]
    group_column: str = ""
    seed: int = 0
    weight_column: str = ""
    interactions: list[Interaction] = field(default_factory=list)

    @property
    def feature_names(self) -> list[str]:
        """Names of the model's columns, in order."""
        outputs = [output for column in self.columns for output in column.outputs]
        return outputs + [interaction.name for interaction in self.interactions]

    def widener(self) -> Widen:
        """What puts the interactions behind features of the columns; see `lib/interactions.py`."""
        return widener(self.columns, self.interactions)

    def transform(self, table: "Rows", out: np.ndarray | None = None) -> np.ndarray:
        """Make the model's rows of raw rows; see `lib/transform.py`."""
        from shipway.components.lib.transform import transform

        return transform(self, table, out)

    def transform_training(
        self, table: "Rows", out: np.ndarray | None = None, part: slice = slice(None)
    ) -> np.ndarray:
        """As `transform`, for the very rows that the plan was fitted on."""
        from shipway.components.lib.transform import transform_training

        return transform_training(self, table, out, part)

    def row_transformer(self) -> Callable[[Mapping[str, Any]], np.ndarray]:
        """The lean way for one row: cells as in JSON, by raw column name; missing ones are null.

        Returns:
            A function from a row to float32 of shape (k,), equal to `transform` to the bit.
        """
        steps: list[tuple[str, str, Callable[..., Sequence[float]], Sequence[float]]] = [
            (
                column.name,
                column.other,
                pair_encoder_of(column) if column.other else encoder_of(column),
                (math.nan,) * len(column.outputs),
            )
            for column in self.columns
        ]
        widen = self.widener()

        def transform_row(row: Mapping[str, Any]) -> np.ndarray:
            values: list[float] = []
            for name, other, encode, missing in steps:
                cell = row.get(name)
                if cell is None:
                    values.extend(missing)
                else:
                    values.extend(encode(cell, row.get(other)) if other else encode(cell))
            return to_float32(widen(np.array(values, dtype=np.float64)))

        return transform_row

    def refreshed(self, matrix: np.ndarray) -> np.ndarray:
        """The model's rows with their interactions made again, as features were changed."""
        if not self.interactions:
            return matrix
        features = matrix[:, : -len(self.interactions)].astype(np.float64)
        return to_float32(self.widener()(features))

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "label": self.label,
            "target": self.target.to_json(),
            "columns": [column.to_json() for column in self.columns],
            "dropped": [asdict(column) for column in self.dropped],
            "group_column": self.group_column,
            "seed": self.seed,
            "weight_column": self.weight_column,
            "interactions": [asdict(interaction) for interaction in self.interactions],
        }

    @classmethod
    def read(cls, path: Path) -> "FeaturePlan":
        """Read the plan that the features step wrote.

        Raises:
            ConfigurationError: the file is missing or is no plan.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"'{path}' is not a feature plan ({error}); run fit_features again."
            ) from error

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "FeaturePlan":
        """The inverse of `to_json`."""
        return cls(
            value["label"],
            Target.from_json(value["target"]),
            [ColumnPlan(**column) for column in value["columns"]],
            [DroppedColumn(**column) for column in value["dropped"]],
            value["group_column"],
            value["seed"],
            value.get("weight_column", ""),
            [Interaction(**interaction) for interaction in value.get("interactions", [])],
        )


def to_float32(values: np.ndarray) -> np.ndarray:
    """Round features to the model's type, in one way for training, batches and serving."""
    with np.errstate(over="ignore"):
        return round_features(values)


def round_features(values: np.ndarray) -> np.ndarray:
    """As `to_float32`; NumPy may warn of a number beyond float32."""
    rounded = values.astype(np.float32)
    infinite = np.isinf(rounded)
    if infinite.any():  # beyond float32, which XGBoost refuses
        rounded[infinite] = np.nan
    return rounded
