"""Quantised rows: in memory, or on disk where the table exceeds a share of it.

On disk the model's rows are written once, block by block, to a scratch file, and XGBoost reads them
from there in batches: it needs several passes, and none of them decodes Parquet again.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xgboost as xgb

from shipway.components.lib.memory import give_back, rows_that_fit

BATCH_CELLS = 2_000_000  # XGBoost holds several batches at once
# Quantiles of a sample are off by about a tenth of a percent of the rows, and a bin is four times
# as wide; they cost a fraction of the time.
SAMPLE, SAMPLED_FROM = 200_000, 500_000
_log = logging.getLogger(__name__)

Fill = Callable[[np.ndarray], np.ndarray]


class Batches(xgb.DataIter):  # type: ignore[misc]  # no stubs
    """The model's rows in batches."""

    def __init__(
        self,
        features: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        names: list[str],
        folder: Path,
        batch_rows: int,
    ) -> None:
        """Take rows that may stand on disk.

        Args:
            features: float32 of shape (n, k).
            y: labels, shape (n,).
            weights: of the rows, shape (n,), or None.
            names: of the features.
            folder: for XGBoost's own files.
            batch_rows: rows in a batch.
        """
        super().__init__(cache_prefix=str(folder / "matrix"))
        self._features, self._y, self._weights, self._names = features, y, weights, names
        self._rows = batch_rows
        self._start = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        """Give the next batch; False at the end."""
        part = slice(self._start, self._start + self._rows)
        if self._start >= len(self._y):
            return False
        self._start += self._rows
        weights = None if self._weights is None else self._weights[part]
        data = np.array(self._features[part])
        input_data(data=data, label=self._y[part], weight=weights, feature_names=self._names)
        return True

    def reset(self) -> None:
        """Begin again."""
        self._start = 0


def stands_on_disk(external: bool | None, shape: tuple[int, int]) -> bool:
    """Whether rows of so many features stand on disk; None decides by the memory that there is."""
    return shape[0] > rows_that_fit(shape[1]) if external is None else external


def room(shape: tuple[int, int], on_disk: bool) -> np.ndarray:
    """Room for the model's rows: in memory, or in a file that is gone when nobody uses it."""
    if not on_disk:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile(prefix="shipway-rows-") as file:
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def rows_for_cuts(rows: int) -> int | None:
    """How many of so many training rows the cuts are made of; None for all."""
    return SAMPLE if rows > SAMPLED_FROM else None


@contextmanager
def matrices(
    names: list[str], bins: int, on_disk: bool, batch_rows: int | None = None
) -> Iterator["Matrices"]:
    """What makes matrices, whose files stand as long as the context.

    Args:
        names: of the features.
        bins: quantiles a feature.
        on_disk: whether the quantised rows stand on disk.
        batch_rows: rows that are read at once from there; None tells by their width.
    """
    if not on_disk:
        yield Matrices(names, bins, None, 0)
        return
    _log.info("training rows stand on disk: %d fit in memory", rows_that_fit(len(names)))
    with tempfile.TemporaryDirectory(prefix="shipway-matrix-") as folder:
        size = batch_rows or max(1, BATCH_CELLS // max(1, len(names)))
        yield Matrices(names, bins, Path(folder), size)


class Matrices:
    """Makes quantised matrices, in memory or on disk."""

    def __init__(self, names: list[str], bins: int, folder: Path | None, batch_rows: int) -> None:
        """Take a folder for XGBoost's files; None keeps all in memory."""
        self._names, self._bins = names, bins
        self._folder, self._batch_rows = folder, batch_rows

    def training(
        self, fill: Fill, y: np.ndarray, weights: np.ndarray | None, cut_rows: int | None = None
    ) -> xgb.QuantileDMatrix:
        """The training rows.

        Args:
            fill: writes the model's rows into float32 of their shape, and gives them back.
            y: labels, shape (n,).
            weights: of the rows, or None.
            cut_rows: how many rows, drawn, the cuts are made of; None for all.
        """
        features = fill(room((len(y), len(self._names)), self._folder is not None))
        give_back()
        cuts = None
        if cut_rows is not None:
            drawn = np.unique(np.random.default_rng(0).integers(0, len(y), cut_rows))
            cuts = self._in_memory(features[drawn], None, _some(weights, drawn), None)
        return self._matrix("training", features, y, weights, cuts)

    def held_out(
        self,
        features: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        training: xgb.QuantileDMatrix,
    ) -> xgb.QuantileDMatrix:
        """Rows that are cut as the training rows are."""
        return self._matrix("held_out", features, y, weights, training)

    def _matrix(
        self,
        name: str,
        features: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        cuts: xgb.QuantileDMatrix | None,
    ) -> xgb.QuantileDMatrix:
        if self._folder is None:
            return self._in_memory(features, y, weights, cuts)
        folder = self._folder / name
        folder.mkdir()
        batches = Batches(features, y, weights, self._names, folder, self._batch_rows)
        made = xgb.ExtMemQuantileDMatrix(batches, max_bin=self._bins, ref=cuts)
        give_back()
        return made

    def _in_memory(
        self,
        features: np.ndarray,
        y: np.ndarray | None,
        weights: np.ndarray | None,
        cuts: xgb.QuantileDMatrix | None,
    ) -> xgb.QuantileDMatrix:
        return xgb.QuantileDMatrix(
            features, y, weight=weights, feature_names=self._names, max_bin=self._bins, ref=cuts
        )


def _some(weights: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if weights is None else weights[rows]
