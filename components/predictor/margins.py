"""Margins by the shortest way: few rows walk the forest, many go through XGBoost's C function.

`Booster.inplace_predict` does the same and needs some hundred microseconds of Python for it. Both
short ways are compared with it, bit by bit, before they are used, and given up when they differ.
"""

import ctypes
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import xgboost as xgb

from shipway.components.predictor.forest import Forest, forest_of

logger = logging.getLogger(__name__)

FOREST_CELLS = 4_800  # rows x trees, up to which the walk is the faster way
PARALLEL_ROWS = 4_096
CONFIG = json.dumps(
    {
        "type": 1,  # margins
        "training": False,
        "iteration_begin": 0,
        "iteration_end": 0,
        "strict_shape": False,
        "cache_id": 0,
        "missing": float("nan"),
    }
).encode()
PROBES = 64

Margins = Callable[[np.ndarray], np.ndarray]


class DensePredictor:
    """`XGBoosterPredictFromDense` with everything prepared that does not change."""

    def __init__(self, booster: xgb.Booster) -> None:
        """Take the booster; it must stay alive, and its threads be set."""
        self._library = xgb.core._LIB
        self._booster = booster
        self._local = threading.local()

    def margins(self, rows: np.ndarray) -> np.ndarray:
        """Sums of leaf values: float32 of shape (n, classes), of float32 rows of shape (n, k)."""
        address = rows.__array_interface__["data"][0]
        interface = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (
            address,
            *rows.shape,
        )
        shape, result = ctypes.POINTER(ctypes.c_uint64)(), ctypes.POINTER(ctypes.c_float)()
        dimensions = ctypes.c_uint64()
        status = self._library.XGBoosterPredictFromDense(
            self._booster.handle,
            interface,
            CONFIG,
            self._proxy(),
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(result),
        )
        if status:
            raise RuntimeError(self._library.XGBGetLastError().decode(errors="replace"))
        classes = shape[1] if dimensions.value > 1 else 1
        # The library writes the next answer of this thread to the same place.
        return np.ctypeslib.as_array(result, (len(rows), classes)).copy()

    def _proxy(self) -> ctypes.c_void_p:
        """The handle through which rows are passed; each thread keeps one."""
        proxy: ctypes.c_void_p | None = getattr(self._local, "proxy", None)
        if proxy is None:
            proxy = self._local.proxy = ctypes.c_void_p()
            self._library.XGProxyDMatrixCreate(ctypes.byref(proxy))
        return proxy


class FastMargins:
    """Margins of rows, by whichever way is the shortest for so many."""

    def __init__(self, booster: xgb.Booster, probe: np.ndarray, threads: int = 1) -> None:
        """Prepare the short ways and compare them with `inplace_predict`.

        Args:
            booster: the model.
            probe: rows to compare by, float32 of shape (n, k).
            threads: that score one large request.
        """
        booster.set_param({"nthread": 1})  # a second thread for few rows costs more than it gives
        self._booster = booster
        rows = _varied(probe)
        self._dense: Margins = self._plain
        self._forest: Forest | None = None
        self._few = 0
        try:
            dense = DensePredictor(booster).margins
            if self._same(dense, rows):
                self._dense = dense
        except (AttributeError, RuntimeError) as error:
            logger.warning("XGBoost's C function is not as expected (%s).", error)
        forest = forest_of(booster)
        if forest is not None and self._same(forest.margins, rows):
            self._forest = forest
            self._few = max(1, FOREST_CELLS // max(1, len(forest._roots)))
        if self._forest is None or self._dense == self._plain:
            logger.warning("Single rows are scored by the slow way: this model's trees differ.")
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Sums of leaf values.

        Args:
            rows: the model's rows, float32 of shape (n, k), C order.

        Returns:
            float64 of shape (n,), or (n, classes) for several classes.
        """
        if self._forest is not None and len(rows) <= self._few:
            margins = self._forest.margins(rows)
        elif self._pool is not None and len(rows) >= PARALLEL_ROWS:
            parts = np.array_split(rows, self._threads)
            margins = np.concatenate(list(self._pool.map(self._dense, parts)))
        else:
            margins = self._dense(rows)
        wide = margins.astype(np.float64)
        return wide[:, 0] if wide.shape[1] == 1 else wide

    def _plain(self, rows: np.ndarray) -> np.ndarray:
        predicted = self._booster.inplace_predict(
            rows, predict_type="margin", validate_features=False
        )
        return np.asarray(predicted).reshape(len(rows), -1)

    def _same(self, way: Margins, rows: np.ndarray) -> bool:
        # Row by row too: what the others of a batch are must not matter.
        alone = np.concatenate([way(rows[index : index + 1]) for index in range(8)])
        expected = self._plain(rows)
        return np.array_equal(way(rows), expected) and np.array_equal(alone, expected[:8])


def _varied(probe: np.ndarray) -> np.ndarray:
    """Rows like those of the probe, some with cells of others, some with missing ones."""
    draw = np.random.default_rng(0)
    rows = probe[draw.integers(0, len(probe), (PROBES, probe.shape[1])), np.arange(probe.shape[1])]
    rows[PROBES // 2 :][draw.random((PROBES - PROBES // 2, probe.shape[1])) < 0.3] = np.nan
    return np.ascontiguousarray(rows)
