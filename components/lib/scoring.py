"""From raw rows to answers: the one code path of training, evaluation, the gate and the server."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.response import Response
from shipway.components.lib.signature import Signature

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 65_536


@dataclass(frozen=True)
class Prediction:
    """What a model says of n rows.

    Attributes:
        probabilities: float64 of shape (n, classes), in the order of the classes; or None.
        labels: codes of the answers, int32 of shape (n,); or None.
        values: float64 of shape (n,), of a regression, or scores of a ranking; or None.
        interval: its ends, float64 of shape (n, 2), where a regression has one; or None.
        coverage: share of rows that the interval is to hold.
    """

    probabilities: np.ndarray | None = None
    labels: np.ndarray | None = None
    values: np.ndarray | None = None
    interval: np.ndarray | None = None
    coverage: float = 0.0


class Scorer:
    """A booster with what turns its margins into answers."""

    def __init__(self, booster: xgb.Booster, signature: Signature) -> None:
        """Prepare a booster for scoring."""
        self.plan = FeaturePlan.from_json(signature.plan)
        self._booster = booster
        self._signature = signature
        self._calibrator = Calibrator.from_json(signature.calibrator)
        self._response = Response.from_json(signature.response)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """Sums of leaf values: float64 of shape (n,), or (n, c) for c classes or quantiles."""
        parts = [
            self._booster.inplace_predict(
                matrix[start : start + CHUNK], predict_type="margin", validate_features=False
            )
            for start in range(0, max(len(matrix), 1), CHUNK)
        ]
        return np.concatenate(parts).astype(np.float64)

    def score_matrix(self, matrix: np.ndarray) -> Prediction:
        """Score the model's rows: float32 of shape (n, k), as the plan makes them."""
        return self.score_margins(self.margins(matrix))

    def score_margins(self, margins: np.ndarray) -> Prediction:
        """What margins mean, as `margins` gives them."""
        if self._signature.target.kind.numeric:
            values, interval = self._response.apply(margins)
            return Prediction(values=values, interval=interval, coverage=self._response.coverage)
        probabilities = self._calibrator.apply(margins)
        if self._signature.threshold is not None:
            labels = (probabilities[:, 1] >= self._signature.threshold).astype(np.int32)
        else:
            labels = probabilities.argmax(axis=1).astype(np.int32)
        return Prediction(probabilities=probabilities, labels=labels)

    def score_table(self, table: "pa.Table") -> Prediction:
        """Score raw rows.

        Raises:
            DataError: a column is missing or of another type.
        """
        return self.score_matrix(self.plan.transform(table))

    def outputs(self, prediction: Prediction) -> list[dict[str, Any]]:
        """The answer for each row, as JSON objects.

        Returns:
            {"label": class, "probabilities": {class as text: p}}, or {"value": v} with
            "interval": [low, high] where there is one.
        """
        if prediction.values is not None:
            answers = [{"value": value} for value in prediction.values.tolist()]
            if prediction.interval is not None:
                for answer, ends in zip(answers, prediction.interval.tolist(), strict=True):
                    answer["interval"] = ends
            return answers
        assert prediction.labels is not None
        assert prediction.probabilities is not None
        classes = self._signature.classes
        names = [class_name(value) for value in classes]
        return [
            {"label": classes[code], "probabilities": dict(zip(names, row, strict=True))}
            for code, row in zip(
                prediction.labels.tolist(), prediction.probabilities.tolist(), strict=True
            )
        ]


def class_name(value: object) -> str:
    """A class as a key of JSON: its text."""
    return str(value)
