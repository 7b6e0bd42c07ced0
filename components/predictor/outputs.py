"""The outputs of a model as V2 tensors."""

from typing import Any, NamedTuple

import numpy as np

from shipway.components.lib.scoring import Prediction
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.questions import Question


class Output(NamedTuple):
    """One tensor of an answer.

    Attributes:
        name: of the tensor.
        datatype: "FP64" or "BYTES".
        shape: of the tensor.
        data: float64, C order, or texts; flat.
        parameters: of the tensor.
    """

    name: str
    datatype: str
    shape: list[int]
    data: np.ndarray | list[str]
    parameters: dict[str, str]


class Outputs:
    """Makes the tensors of answers."""

    def __init__(self, engine: Engine) -> None:
        """Prepare what is the same in every answer."""
        self._engine = engine
        self._parameters = engine.class_parameters()
        self._names = np.array(engine.classes, dtype=object)
        self.names = [output["name"] for output in engine.output_types()]

    def threshold(self, question: Question) -> float | None:
        """The threshold that makes the label of an answer."""
        asked = question.options.threshold
        return self._engine.threshold if asked is None else asked

    def of(self, question: Question, prediction: Prediction) -> list[Output]:
        """The tensors that a request asked for."""
        made = self._made(question, prediction)
        return [output for output in made if _asked_for(output.name, question.outputs)]

    def _made(self, question: Question, prediction: Prediction) -> list[Output]:
        prediction = self._engine.wished(prediction, question.options)
        if prediction.values is not None:
            value = Output("value", "FP64", [len(prediction.values)], prediction.values, {})
            if prediction.interval is None:
                return [value]
            shape, ends = list(prediction.interval.shape), prediction.interval.ravel()
            return [value, Output("interval", "FP64", shape, ends, {})]
        assert prediction.labels is not None and prediction.probabilities is not None
        probabilities, codes = prediction.probabilities, prediction.labels
        label = Output("label", "BYTES", [len(codes)], self._texts(codes), {})
        top = question.options.top_k
        if not 0 < top < probabilities.shape[1]:
            scores = _scores(probabilities, self._parameters)
            return [label, scores]
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        best = np.take_along_axis(probabilities, order, axis=1)
        classes = Output("classes", "BYTES", list(order.shape), self._texts(order.ravel()), {})
        return [label, _scores(best, {}), classes]

    def _texts(self, codes: np.ndarray) -> list[str]:
        texts: list[Any] = self._names.take(codes).tolist()
        return texts


def _scores(probabilities: np.ndarray, parameters: dict[str, str]) -> Output:
    flat = np.ascontiguousarray(probabilities, dtype=np.float64).ravel()
    return Output("probabilities", "FP64", list(probabilities.shape), flat, parameters)


def _asked_for(name: str, asked: list[str]) -> bool:
    # The classes of the most probable go with their probabilities.
    return not asked or name in asked or (name == "classes" and "probabilities" in asked)
