"""Requests that arrive in one turn of the event loop are scored in one call.

No timer: a lone request is scored in the next turn, and under load the batch is what the sockets
had ready. A score of few rows costs little more than that of one.
"""

import asyncio
from collections.abc import Callable

import numpy as np

from shipway.components.lib.held_out import rows_of
from shipway.components.lib.scoring import Prediction

MAX_ROWS = 256

Score = Callable[[np.ndarray], Prediction]


class Batcher:
    """Collects the rows of small requests; for one event loop."""

    def __init__(self, score: Score) -> None:
        """Take what scores rows; it is called on the event loop."""
        self._score = score
        self._waiting: list[tuple[np.ndarray, asyncio.Future[Prediction]]] = []

    def submit(self, features: np.ndarray) -> "asyncio.Future[Prediction]":
        """Have rows scored with what else is there.

        Args:
            features: float64 of shape (n, k), with few rows.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Prediction] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((features, future))
        return future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        start = 0
        while start < len(waiting):
            end, rows = start, 0
            while end < len(waiting) and (end == start or rows + len(waiting[end][0]) <= MAX_ROWS):
                rows += len(waiting[end][0])
                end += 1
            self._answer(waiting[start:end])
            start = end

    def _answer(self, waiting: list[tuple[np.ndarray, "asyncio.Future[Prediction]"]]) -> None:
        try:
            if len(waiting) == 1:
                results = [self._score(waiting[0][0])]
            else:
                results = _split(
                    self._score(np.concatenate([features for features, _ in waiting])),
                    [len(features) for features, _ in waiting],
                )
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(waiting, results, strict=True):
            if not future.done():  # its caller may have gone away
                future.set_result(result)


def _split(whole: Prediction, counts: list[int]) -> list[Prediction]:
    results, start = [], 0
    for count in counts:
        results.append(rows_of(whole, slice(start, start + count)))
        start += count
    return results
