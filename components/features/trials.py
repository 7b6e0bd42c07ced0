"""Quick boosters on a sample of rows: what features are worth, on validation rows.

The sample bounds the time, however long the table: pieces of it from end to end, in the order of
the rows, fewer the more features there are. Test rows are never seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb

from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.losses import row_losses
from shipway.components.lib.parameters import settings_for
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.task import Target
from shipway.components.lib.weights import row_weights

CELLS, FEWEST, MOST = 400_000, 5_000, 40_000  # of a sample, and its rows
PIECES = 10
QUICK = {"eta": 0.05, "max_bin": 128, "nthread": 1}  # threads would wait for each other
ROUNDS, PATIENCE = 400, 20
NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True)
class Part:
    """Rows of a sample.

    Attributes:
        table: their cells.
        features: the model's rows, float32 of shape (n, k).
        y: labels, shape (n,).
        weights: of the rows, or None.
    """

    table: pa.Table
    features: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None

    def take(self, rows: np.ndarray) -> "Part":
        """Some of the rows, by number."""
        weights = None if self.weights is None else self.weights[rows]
        return Part(self.table.take(rows), self.features[rows], self.y[rows], weights)

    def half(self, side: int) -> "Part":
        """Every second row, from the first or the second on."""
        return self.take(np.arange(side, len(self.y), 2))

    def of(self, features: np.ndarray) -> "Part":
        """The same rows with other features."""
        return replace(self, features=features)

    def matrix(self, bins: int, like: xgb.QuantileDMatrix | None = None) -> xgb.QuantileDMatrix:
        """The rows as XGBoost takes them, cut as another matrix is."""
        more = {"max_bin": bins, "ref": like}
        return xgb.QuantileDMatrix(self.features, self.y, weight=self.weights, **more)


@dataclass(frozen=True)
class Sample:
    """Rows that features are tried on.

    Attributes:
        target: what is predicted.
        training: rows that teach.
        held_out: rows of validation, which judge.
        seed: of all that draws.
    """

    target: Target
    training: Part
    held_out: Part
    seed: int

    def settings(self, rows: int, seed: int = 0) -> dict[str, Any]:
        """XGBoost's parameters for so many rows."""
        return settings_for(self.target, rows, {}, self.seed + seed).booster | QUICK

    def learnt(
        self, training: Part, held_out: Part, seed: int, more: Mapping[str, float] = NOTHING
    ) -> xgb.Booster:
        """A quick booster, stopped by the rows that are held out.

        Args:
            training: rows that teach.
            held_out: rows that stop.
            seed: one more of them.
            more: parameters over those of `settings`.
        """
        settings = {**self.settings(len(training.y), seed), **more}
        matrix = training.matrix(settings["max_bin"])
        judge = held_out.matrix(settings["max_bin"], matrix)
        found = xgb.train(
            settings, matrix, ROUNDS, evals=[(judge, "")], early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )  # fmt: skip
        return found[: found.best_iteration + 1]

    def losses(self, margins: np.ndarray, held_out: Part) -> np.ndarray:
        """The loss of each row by what is said of it: float64 of shape (n,)."""
        return row_losses(self.settings(len(held_out.y)), margins, held_out.y)


def margins_of(booster: xgb.Booster, part: Part) -> np.ndarray:
    """What a booster says of rows, before any link."""
    said = booster.inplace_predict(part.features, predict_type="margin", validate_features=False)
    return np.asarray(said, dtype=np.float64)


def feature_gains(booster: xgb.Booster) -> dict[int, float]:
    """The total gain of each feature that is used, by its place."""
    gains = booster.get_score(importance_type="total_gain")
    return {int(name[1:]): gain for name, gain in gains.items()}


def sample_of(plan: FeaturePlan, rows: StoredTable, held_out: StoredTable) -> Sample:
    """The sample of a training and a validation split."""
    training, judging = _some(plan, rows), _some(plan, held_out)

    def part(table: pa.Table, features: np.ndarray) -> Part:
        y = plan.target.encode(table.column(plan.label))
        return Part(table, features, y, row_weights(plan, table, y, False))

    return Sample(
        plan.target,
        part(training, plan.transform_training(training)),
        part(judging, plan.transform(judging)),
        plan.seed,
    )


def _some(plan: FeaturePlan, table: StoredTable) -> pa.Table:
    others = {column.other for column in plan.columns} | {plan.group_column, plan.weight_column}
    names = [column.name for column in plan.columns] + [plan.label]
    names += sorted(others - {"", *names})
    rows = min(max(CELLS // max(len(plan.feature_names), 1), FEWEST), MOST)
    if table.num_rows <= rows:
        return pa.concat_tables(table.blocks(names))
    size = rows // PIECES
    starts = np.linspace(0, table.num_rows - size, PIECES).astype(int).tolist()
    pieces = [pa.concat_tables(table.blocks(names, slice(at, at + size))) for at in starts]
    return pa.concat_tables(pieces)
