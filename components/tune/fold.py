"""Rows to train on and rows to judge by, as the model sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xgboost as xgb

from shipway.components.lib.queries import told, whole_queries


@dataclass(frozen=True)
class Block:
    """Rows as the model sees them.

    Attributes:
        matrix: float32 of shape (n, k).
        y: labels, shape (n,); of a ranking in the order of their queries.
        weights: shape (n,), or None.
        related: numbers that rows have in common which may depend on each other, such as those of
            one group; shape (n,), or None.
    """

    matrix: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    related: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Block":
        """Some of the rows."""
        more = (None if one is None else one[rows] for one in (self.weights, self.related))
        return Block(self.matrix[rows], self.y[rows], *more)


@dataclass(frozen=True)
class Fold:
    """Rows to train on, and rows to judge by."""

    training: Block
    held_out: Block

    def sampled(self, rows: int, seed: int) -> "Fold":
        """The fold with so many rows of either kind at most."""
        draw = np.random.default_rng(seed)
        parts = []
        for block in (self.training, self.held_out):
            total = len(block.y)
            taken = whole_queries(block.y, rows, draw) if total > rows else np.arange(total)
            parts.append(block.take(taken))
        return Fold(*parts)

    def matrices(
        self, names: Sequence[str], bins: int, threads: int
    ) -> tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix]:
        """XGBoost's matrices of both, which all trials share."""
        train, held = self.training, self.held_out
        more = {"feature_names": names, "max_bin": bins, "nthread": threads or None}
        first = xgb.QuantileDMatrix(train.matrix, **told(train.y, train.weights), **more)
        return first, xgb.QuantileDMatrix(
            held.matrix, ref=first, **told(held.y, held.weights), **more
        )
