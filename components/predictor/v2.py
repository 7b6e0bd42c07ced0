"""KServe's V2 protocol, the Open Inference Protocol, in JSON: tensors in, tensors out."""

from typing import Any

import numpy as np
import orjson

from shipway.components.lib.scoring import Prediction
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.parsing import parsed
from shipway.components.predictor.questions import Question
from shipway.components.predictor.refusals import Refusal, listed
from shipway.components.predictor.tensors import read_tensors


class V2:
    """Reads V2 requests for an engine, and writes the answers."""

    def __init__(self, engine: Engine) -> None:
        """Prepare what is the same in every answer."""
        self._engine = engine
        self._outputs = [output["name"] for output in engine.output_types()]

    def read(self, body: bytes) -> Question:
        """Read the body of an infer request.

        Raises:
            Refusal: it is not a request that this model can answer.
        """
        return self.read_payload(parsed(body))

    def read_payload(self, payload: Any) -> Question:
        """As `read`, of a request that was parsed.

        Raises:
            Refusal: as `read`.
        """
        engine = self._engine
        request = read_tensors(payload, engine.schema, engine.max_rows)
        for name in request.outputs:
            if name not in self._outputs:
                raise Refusal(
                    f"There is no output '{name[:60]}'; this model gives {listed(self._outputs)}."
                )
        batch = engine.reader.read_columns(request.columns)
        return Question(batch, request_id=request.request_id, outputs=request.outputs)

    def answer(self, question: Question, prediction: Prediction) -> bytes:
        """Write the answer."""
        return orjson.dumps(self.payload(question, prediction))

    def payload(self, question: Question, prediction: Prediction) -> dict[str, Any]:
        """The answer as JSON values."""
        engine = self._engine
        outputs = self._tensors(prediction)
        if question.outputs:
            outputs = [output for output in outputs if output["name"] in question.outputs]
        answer: dict[str, Any] = {"model_name": engine.name, "id": question.request_id}
        if engine.version:
            answer["model_version"] = engine.version
        parameters: dict[str, Any] = {"model_digest": engine.digest}
        if engine.threshold is not None:
            parameters["threshold"] = engine.threshold
        return answer | {"parameters": parameters, "outputs": outputs}

    def _tensors(self, prediction: Prediction) -> list[dict[str, Any]]:
        if prediction.values is not None:
            values = np.asarray(prediction.values, dtype=np.float64)
            return [_tensor("value", "FP64", [len(values)], values.tolist())]
        assert prediction.labels is not None and prediction.probabilities is not None
        labels = [self._engine.classes[code] for code in prediction.labels]
        probabilities = np.asarray(prediction.probabilities, dtype=np.float64)
        shape = list(probabilities.shape)
        scores = _tensor("probabilities", "FP64", shape, probabilities.ravel().tolist())
        scores["parameters"] = self._engine.class_parameters()
        return [_tensor("label", "BYTES", [len(labels)], labels), scores]


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}
