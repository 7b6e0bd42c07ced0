"""What the server counts: plain numbers and arrays, which Prometheus reads when it asks.

Times and rows are held back and counted many at once; `fold` counts what is still held.
"""

import math
import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import orjson

from shipway.components.lib.encoders import CODED
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
HELD_ROWS = 512
HELD_REQUESTS = 256


class Histogram:
    """Counts of values up to each of some bounds, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Count into fixed bounds, which ascend; one more count is for what is above them."""
        self.bounds = np.array(bounds, dtype=np.float64)
        self.counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self.sum = 0.0

    def add(self, values: np.ndarray) -> None:
        """Count values."""
        places = np.searchsorted(self.bounds, values)
        self.counts += np.bincount(places, minlength=len(self.counts))
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
        planned = engine.plan.columns
        kinds = {column.name: column.kind for column in planned}
        self.unknown = Counter({name: 0 for name in kinds if kinds[name] in CODED})
        self.read, self.score, self.answer, self.total = (Histogram(SECONDS) for _ in range(4))
        self.columns = list(kinds)
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
        self.labels = np.zeros(len(engine.classes), dtype=np.int64)
        self.predictions: Histogram | None = None
        if engine.task != "multiclass":
            self.predictions = Histogram(SHARES if engine.task == "binary" else values)
        # A row costs next to nothing when many are counted at once, so some are held back.
        self._times: list[float] = []  # five a request
        self._batches: list[tuple[np.ndarray, Prediction]] = []
        self._held = 0
        self._lock = threading.Lock()

    def finished(self, exchange: "Exchange", ended: float) -> None:
        """Count a request that was answered, refused or given up; called on the event loop."""
        self.in_flight -= 1
        self.requests[exchange.kind, exchange.status] += 1
        if exchange.cause:
            self.causes[exchange.cause] += 1
        question = exchange.question
        if question is not None:
            self.rows += len(question.batch.features)
            if question.batch.unknown:
                self.unknown.update(question.batch.unknown)
        if exchange.received:
            times = self._times
            times += (exchange.received, exchange.read, exchange.scored, exchange.answered, ended)
            if len(times) >= 5 * HELD_REQUESTS:
                self.fold()

    def scored(self, features: np.ndarray, prediction: Prediction) -> None:
        """Count the rows of one call of the model.

        Args:
            features: float64 of shape (n, k), as the reader made them.
            prediction: what the model said.
        """
        with self._lock:
            self._batches.append((features, prediction))
            self._held += len(features)
            if self._held >= HELD_ROWS:
                self._fold_batches()

    def fold(self) -> None:
        """Bring the counts up to date with all that was seen."""
        with self._lock:
            if self._batches:
                self._fold_batches()
            times, self._times = self._times, []
            if times:
                received, read, scored, answered, ended = np.array(times).reshape(-1, 5).T
                self.total.add(np.where(answered > 0, answered, ended) - received)
                for stage, start, end in (
                    (self.read, received, read),
                    (self.score, read, scored),
                    (self.answer, scored, answered),
                ):
                    stage.add((end - start)[end > 0])

    def _fold_batches(self) -> None:
        batches, self._batches, self._held = self._batches, [], 0
        features = np.concatenate([features for features, _ in batches])
        inside = features >= self._low  # false for what is missing
        inside &= features <= self._high
        if not inside.all():
            first = self._firsts
            missing = np.isnan(features[:, first]).sum(axis=0)
            self.missing += missing
            self.outside += len(features) - missing - inside[:, first].sum(axis=0)
        labels = [made.labels for _, made in batches if made.labels is not None]
        if labels:
            self.labels += np.bincount(np.concatenate(labels), minlength=len(self.labels))
        if self.predictions is not None:
            self.predictions.add(np.concatenate([_shown(made) for _, made in batches]))


def _shown(made: Prediction) -> np.ndarray:
    """What the histogram of predictions counts: values, or those of the positive class."""
    if made.probabilities is not None:
        return made.probabilities[:, 1]
    assert made.values is not None
    return made.values


def value_bounds(model_dir: "Path") -> Sequence[float]:
    """Bounds for the values of a regression: where training had one in twenty, if that is known."""
    try:
        baseline = orjson.loads((model_dir / "baseline" / "prediction.json").read_bytes())
        bounds = sorted({float(value) for value in baseline["value"]})
    except (OSError, ValueError, KeyError, TypeError):
        return DECADES
    return bounds or DECADES
