"""What the server counts: plain numbers and lists, which Prometheus reads when it asks.

A request adds to them on the event loop; a scored batch may come from a thread, so it takes a lock.
"""

import math
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import orjson

from shipway.components.lib.scoring import Prediction
from shipway.components.predictor.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from shipway.components.predictor.observing import Exchange

# The bounds of KServe's own histogram, and finer ones below: a row takes a tenth of a millisecond.
SECONDS = (
    0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
    0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
SHARES = tuple(index / 20 for index in range(1, 20))
DECADES = tuple(sorted(sign * 10.0**power for sign in (-1, 1) for power in range(7)))
FEW = 16


class Histogram:
    """Counts of values up to each of some bounds, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Count into fixed bounds, which ascend; one more count is for what is above them."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add_all(self, values: np.ndarray) -> None:
        """Count many values."""
        if len(values) <= FEW:
            for value in values.tolist():
                self.add(value)
            return
        places = np.searchsorted(self.bounds, values)
        for place, count in enumerate(np.bincount(places, minlength=len(self.counts)).tolist()):
            self.counts[place] += count
        self.sum += float(values.sum())


class Metrics:
    """What was asked and answered since the start.

    Attributes:
        in_flight: requests that are not answered yet.
        requests: how many, by kind of path and status.
        rows: how many were asked about.
        causes: why requests were refused or failed.
        unknown: categories that training did not see, by column.
        missing: cells that were null, by place in `columns`.
        outside: numbers out of their range in training, by place in `columns`.
        columns: the raw columns.
        labels: how often each class was the answer.
        predictions: the values of a regression, or the probabilities of a positive class.
    """

    def __init__(self, engine: Engine, values: Sequence[float] = DECADES) -> None:
        """Count for one model.

        Args:
            engine: the model.
            values: bounds of the histogram of a regression.
        """
        self.engine = engine
        self.in_flight = 0
        self.requests: Counter[tuple[str, int]] = Counter()
        self.rows = 0
        self.causes: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.read, self.score, self.answer, self.total = (Histogram(SECONDS) for _ in range(4))
        planned = engine.plan.columns
        self.columns = [column.name for column in planned]
        ranges: list[tuple[float, float]] = []
        firsts = []  # a column's first feature is missing where its cell is
        for column in planned:
            firsts.append(len(ranges))
            low = -math.inf if column.minimum is None else column.minimum
            high = math.inf if column.maximum is None else column.maximum
            ranges.extend([(low, high)] * len(column.outputs))
        self._firsts = firsts if len(firsts) < len(ranges) else slice(None)
        self._low, self._high = np.array(ranges, dtype=np.float64).reshape(-1, 2).T.copy()
        self.missing = np.zeros(len(firsts), dtype=np.int64)
        self.outside = np.zeros(len(firsts), dtype=np.int64)
        self.labels = [0] * len(engine.classes)
        self.predictions: Histogram | None = None
        if engine.task != "multiclass":
            self.predictions = Histogram(SHARES if engine.task == "binary" else values)
        self._lock = threading.Lock()

    def finished(self, exchange: "Exchange", ended: float) -> None:
        """Count a request that was answered, refused or given up."""
        self.in_flight -= 1
        self.requests[exchange.kind, exchange.status] += 1
        if exchange.cause:
            self.causes[exchange.cause] += 1
        question, received = exchange.question, exchange.received
        if question is not None:
            self.rows += len(question.batch.features)
            if question.batch.unknown:
                self.unknown.update(question.batch.unknown)
            self.read.add(exchange.read - received)
            if exchange.answered:
                self.score.add(exchange.scored - exchange.read)
                self.answer.add(exchange.answered - exchange.scored)
        if received:
            self.total.add((exchange.answered or ended) - received)

    def scored(self, features: np.ndarray, prediction: Prediction) -> None:
        """Count the rows of one call of the model.

        Args:
            features: float64 of shape (n, k), as the reader made them.
            prediction: what the model said.
        """
        inside = features >= self._low  # false for what is missing
        inside &= features <= self._high
        with self._lock:
            if np.count_nonzero(inside) < inside.size:
                self._count_unusual(features, inside)
            if self.predictions is not None:
                probabilities = prediction.probabilities
                values = prediction.values if probabilities is None else probabilities[:, 1]
                if values is not None:
                    self.predictions.add_all(values)
            if prediction.labels is not None:
                for code in self._counts(prediction.labels):
                    self.labels[code[0]] += code[1]

    def _counts(self, codes: np.ndarray) -> list[tuple[int, int]]:
        if len(codes) <= FEW:
            return [(code, 1) for code in codes.tolist()]
        return list(enumerate(np.bincount(codes).tolist()))

    def _count_unusual(self, features: np.ndarray, inside: np.ndarray) -> None:
        first = self._firsts
        missing = np.add.reduce(np.isnan(features[:, first]), axis=0, dtype=np.int64)
        self.missing += missing
        self.outside += len(features) - missing
        self.outside -= np.add.reduce(inside[:, first], axis=0, dtype=np.int64)


def value_bounds(model_dir: "Path") -> Sequence[float]:
    """Bounds for the values of a regression: where training had one in twenty, if that is known."""
    try:
        baseline = orjson.loads((model_dir / "baseline" / "prediction.json").read_bytes())
        bounds = sorted({float(value) for value in baseline["value"]})
    except (OSError, ValueError, KeyError, TypeError):
        return DECADES
    return bounds or DECADES
