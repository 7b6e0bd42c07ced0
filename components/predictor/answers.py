"""The answers of many rows as JSON text, made of whole columns rather than row by row."""

import numpy as np
import orjson

from shipway.components.lib.scoring import Prediction, class_name
from shipway.components.lib.task import Label

# Up to so many rows, objects that are turned into text are as fast.
FEW_ROWS = 4


class AnswerTexts:
    """Writes what `Scorer.outputs` says, as `orjson.dumps` would write it."""

    def __init__(self, classes: list[Label]) -> None:
        """Prepare the texts that stand between the numbers.

        Args:
            classes: of the model, in the order of the probabilities; empty for a regression.
        """
        names = [orjson.dumps(class_name(value)) for value in classes]
        self._between = [b"," + name + b":" for name in names[1:]]
        self._openings = [
            b',{"label":' + orjson.dumps(value) + b',"probabilities":{' + names[0] + b":"
            for value in classes
        ]

    def text(self, prediction: Prediction) -> bytes:
        """A JSON list with one object a row, of at least one."""
        if prediction.values is not None:
            if prediction.interval is not None:
                return _with_intervals(prediction.values, prediction.interval)
            return b'[{"value":' + b'},{"value":'.join(_numbers(prediction.values)) + b"}]"
        assert prediction.labels is not None
        assert prediction.probabilities is not None
        rows, classes = prediction.probabilities.shape
        numbers = _numbers(prediction.probabilities)
        openings = self._openings
        width = 2 * classes + 1
        parts = [b"}}"] * (rows * width)
        parts[0::width] = [openings[code] for code in prediction.labels.tolist()]
        for place in range(classes):
            parts[2 * place + 1 :: width] = numbers[place::classes]
            if place:
                parts[2 * place :: width] = [self._between[place - 1]] * rows
        return b"[" + b"".join(parts)[1:] + b"]"


def _with_intervals(values: np.ndarray, interval: np.ndarray) -> bytes:
    ends = _numbers(interval)
    rows = zip(_numbers(values), ends[0::2], ends[1::2], strict=True)
    return b"[%s]" % b",".join([b'{"value":%s,"interval":[%s,%s]}' % row for row in rows])


def _numbers(values: np.ndarray) -> list[bytes]:
    flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
    return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
