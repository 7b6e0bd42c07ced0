"""The quantised training rows: in memory, or on disk where the table exceeds a share of it.

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

from shipway.components.lib.memory import rows_that_fit

BATCH_CELLS = 8_000_000  # XGBoost holds several times as much while it looks for cuts
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


@contextmanager
def training_matrix(
    fill: Fill,
    shape: tuple[int, int],
    y: np.ndarray,
    weights: np.ndarray | None,
    names: list[str],
    bins: int,
    external: bool | None = None,
    batch_rows: int | None = None,
) -> Iterator[xgb.QuantileDMatrix]:
    """The quantised training rows, while a booster is trained on them.

    Args:
        fill: writes the model's rows into float32 of shape `shape`, and gives them back.
        shape: rows and features.
        y: labels, shape (n,).
        weights: of the rows, or None.
        names: of the features.
        bins: quantiles a feature.
        external: whether they stand on disk; None decides by the memory that there is.
        batch_rows: rows that are read at once from there; None tells by their width.
    """
    if external is None:
        external = shape[0] > rows_that_fit(shape[1])
    if not external:
        features = fill(np.empty(shape, dtype=np.float32))
        yield xgb.QuantileDMatrix(features, y, weight=weights, feature_names=names, max_bin=bins)
        return
    _log.info("training rows stand on disk: %d fit in memory", rows_that_fit(shape[1]))
    with tempfile.TemporaryDirectory(prefix="shipway-rows-") as scratch:
        folder = Path(scratch)
        file = np.memmap(folder / "rows", dtype=np.float32, mode="w+", shape=shape)
        size = batch_rows or max(1, BATCH_CELLS // max(1, shape[1]))
        batches = Batches(fill(file), y, weights, names, folder, size)
        yield xgb.ExtMemQuantileDMatrix(batches, max_bin=bins)
