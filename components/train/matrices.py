"""Quantised rows: in memory, or on disk where the table exceeds a share of it.

On disk the model's rows are written once, block by block, to a scratch file, and XGBoost reads them
from there in batches: it needs several passes, and none of them decodes Parquet again. Of many rows
the cuts are made of a sample, and missing cells stand at a number (`lib/missing.py`).
"""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xgboost as xgb
from xgboost import collective

from shipway.components.lib.memory import give_back, rows_that_fit
from shipway.components.lib.missing import places_of_missing, sending_missing, stand_in

BATCH_CELLS = 4_000_000  # XGBoost holds several at once; each costs it about a megabyte more
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
        batch_rows: int,
        places: np.ndarray | None = None,
        folder: Path | None = None,
    ) -> None:
        """Take rows that may stand on disk.

        Args:
            features: float32 of shape (n, k).
            y: labels, shape (n,).
            weights: of the rows, shape (n,), or None.
            names: of the features.
            batch_rows: rows in a batch.
            places: what stands for missing cells, by feature; None leaves them missing.
            folder: for XGBoost's own files; None where it keeps all in memory.
        """
        super().__init__(cache_prefix=None if folder is None else str(folder / "matrix"))
        self._features, self._y, self._weights, self._names = features, y, weights, names
        self._rows, self._places = batch_rows, places
        self._start = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        """Give the next batch; False at the end."""
        part = slice(self._start, self._start + self._rows)
        if self._start >= len(self._y):
            return False
        self._start += self._rows
        weights = None if self._weights is None else self._weights[part]
        data = np.array(self._features[part])
        if self._places is not None:
            stand_in(data, self._places)
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
    size = batch_rows or max(1, BATCH_CELLS // max(1, len(names)))
    if not on_disk:
        yield Matrices(names, bins, None, size)
        return
    _log.info("training rows stand on disk: %d fit in memory", rows_that_fit(len(names)))
    with tempfile.TemporaryDirectory(prefix="shipway-matrix-") as folder:
        yield Matrices(names, bins, Path(folder), size)


class Matrices:
    """Makes quantised matrices, in memory or on disk."""

    def __init__(self, names: list[str], bins: int, folder: Path | None, batch_rows: int) -> None:
        """Take a folder for XGBoost's files; None keeps all in memory."""
        self._names, self._bins = names, bins
        self._folder, self._batch_rows = folder, batch_rows
        self._places: np.ndarray | None = None

    def training(
        self, fill: Fill, y: np.ndarray, weights: np.ndarray | None, cut_rows: int | None = None
    ) -> xgb.QuantileDMatrix:
        """The training rows.

        Args:
            fill: writes the model's rows into float32 of their shape, and gives them back.
            y: labels, shape (n,).
            weights: of the rows, or None.
            cut_rows: how many rows, drawn, tell the cuts, and what stands for missing cells; None
                for all rows, and missing cells that stay missing.
        """
        features = fill(room((len(y), len(self._names)), self._folder is not None))
        give_back()
        cuts = None
        if cut_rows is not None:
            drawn = np.unique(np.random.default_rng(0).integers(0, len(y), cut_rows))
            sample = features[drawn]
            self._places = _agreed(places_of_missing(sample, y[drawn]))
            sample = stand_in(sample, self._places)
            cuts = self._whole(sample, None, None if weights is None else weights[drawn], None)
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

    def finished(self, booster: xgb.Booster) -> xgb.Booster:
        """A booster that was trained here, for rows whose missing cells are missing."""
        return booster if self._places is None else sending_missing(booster, self._places)

    def _matrix(
        self,
        name: str,
        features: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        cuts: xgb.QuantileDMatrix | None,
    ) -> xgb.QuantileDMatrix:
        if self._folder is None and self._places is None:
            return self._whole(features, y, weights, cuts)
        folder = None
        if self._folder is not None:
            folder = self._folder / name
            folder.mkdir()
        make = xgb.QuantileDMatrix if folder is None else xgb.ExtMemQuantileDMatrix
        batches = Batches(features, y, weights, self._names, self._batch_rows, self._places, folder)
        made = make(batches, max_bin=self._bins, ref=cuts)
        give_back()
        return made

    def _whole(
        self,
        features: np.ndarray,
        y: np.ndarray | None,
        weights: np.ndarray | None,
        cuts: xgb.QuantileDMatrix | None,
    ) -> xgb.QuantileDMatrix:
        return xgb.QuantileDMatrix(
            features, y, weight=weights, feature_names=self._names, max_bin=self._bins, ref=cuts
        )


def _agreed(places: np.ndarray) -> np.ndarray:
    """What the first of several workers says; of one worker its own."""
    mine = places if collective.get_rank() == 0 else np.zeros_like(places)
    return np.asarray(collective.allreduce(mine, collective.Op.SUM))
