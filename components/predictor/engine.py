"""The model behind the protocols: parsed bodies in, answers out, no web server and no KServe."""

from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from shipway.components.lib.model_package import ModelPackage
from shipway.components.lib.scoring import Prediction, Scorer
from shipway.components.predictor.columns import DATATYPES, Schema
from shipway.components.predictor.refusals import Refusal, listed
from shipway.components.predictor.rows import read_instances
from shipway.components.predictor.schema import schema_of
from shipway.components.predictor.tensors import read_tensors

# Up to so many rows, the lean row path beats building an Arrow table.
ROW_PATH_ROWS = 32


class Engine:
    """One loaded model and what it says of itself.

    Attributes:
        name: the model's name in the URLs.
        version: its version; "" when it was not given.
        digest: of the model package.
    """

    def __init__(
        self, package: ModelPackage, *, name: str = "", version: str = "", max_rows: int = 100_000
    ) -> None:
        """Prepare a package for answering."""
        signature = package.signature
        self.name = name or signature.name
        self.version = version
        self.digest: str = package.digest
        self.schema: Schema = schema_of(signature)
        self._task: str = signature.task
        self._classes = [str(label) for label in signature.classes]
        self._threshold: float | None = signature.threshold
        self._max_rows = max_rows
        self._scorer = Scorer(package.booster, signature)
        self._transform_row = self._scorer.plan.row_transformer()

    def answer_v1(self, body: bytes) -> bytes:
        """Answer the body of a V1 predict request.

        Raises:
            Refusal: the body is not a request that this model can answer.
        """
        return orjson.dumps(self.predict_v1(_parsed(body)))

    def answer_v2(self, body: bytes) -> bytes:
        """Answer the body of a V2 infer request.

        Raises:
            Refusal: the body is not a request that this model can answer.
        """
        return orjson.dumps(self.predict_v2(_parsed(body)))

    def predict_v1(self, payload: Any) -> dict[str, Any]:
        """The V1 answer: one prediction a row, and which model made it."""
        columns = read_instances(payload, self.schema, self._max_rows)
        predictions = self._scorer.outputs(self.predict(columns))
        answer: dict[str, Any] = {"predictions": predictions, "model_name": self.name}
        if self.version:
            answer["model_version"] = self.version
        answer["model_digest"] = self.digest
        if self._threshold is not None:
            answer["threshold"] = self._threshold
        return answer

    def predict_v2(self, payload: Any) -> dict[str, Any]:
        """The V2 answer: the outputs as tensors, and which model made them."""
        request = read_tensors(payload, self.schema, self._max_rows)
        self._check_outputs(request.outputs)
        outputs = self._tensors(self.predict(request.columns))
        if request.outputs:
            outputs = [output for output in outputs if output["name"] in request.outputs]
        answer: dict[str, Any] = {"model_name": self.name, "id": request.request_id}
        if self.version:
            answer["model_version"] = self.version
        parameters: dict[str, Any] = {"model_digest": self.digest}
        if self._threshold is not None:
            parameters["threshold"] = self._threshold
        answer |= {"parameters": parameters, "outputs": outputs}
        return answer

    def predict(self, columns: dict[str, list[Any]]) -> Prediction:
        """Score checked cells, column by column.

        Few rows take the row path and many the batch path; both give the same bits.
        """
        count = len(next(iter(columns.values())))
        if count > ROW_PATH_ROWS:
            arrays = [column.to_arrow(columns[column.name]) for column in self.schema.columns]
            return self._scorer.score_table(pa.table(arrays, names=list(self.schema.names)))
        names = list(columns)
        rows = [
            dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True)
        ]
        matrix = np.stack([self._transform_row(row) for row in rows])
        return self._scorer.score_matrix(matrix)

    def output_types(self) -> list[dict[str, Any]]:
        """Names, datatypes and shapes of the outputs, as V2 metadata gives them."""
        if self._task == "regression":
            return [{"name": "value", "datatype": "FP64", "shape": [-1]}]
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, len(self._classes)]},
        ]

    def input_types(self) -> list[dict[str, Any]]:
        """Names, datatypes and shapes of the inputs, as V2 metadata gives them."""
        return [
            {"name": column.name, "datatype": DATATYPES[column.dtype], "shape": [-1]}
            for column in self.schema.columns
        ]

    def metadata(self) -> dict[str, Any]:
        """The V2 model metadata, with what each column may hold and the classes."""
        inputs = self.input_types()
        for described, column in zip(inputs, self.schema.columns, strict=True):
            described["parameters"] = {"nullable": column.nullable, **column.details}
        outputs = self.output_types()
        if self._task != "regression":
            outputs[1]["parameters"] = self._class_parameters()
        return {
            "name": self.name,
            "versions": [self.version] if self.version else [],
            "platform": "shipway_xgboost",
            "inputs": inputs,
            "outputs": outputs,
            "parameters": {"model_digest": self.digest, "task": self._task},
        }

    def _class_parameters(self) -> dict[str, str]:
        # The protocol's parameters are scalars, so the list goes as JSON text.
        return {"classes": orjson.dumps(self._classes).decode()}

    def _check_outputs(self, asked: list[str]) -> None:
        names = [output["name"] for output in self.output_types()]
        for name in asked:
            if name not in names:
                raise Refusal(
                    f"There is no output '{name[:60]}'; this model gives {listed(names)}."
                )

    def _tensors(self, prediction: Prediction) -> list[dict[str, Any]]:
        if prediction.values is not None:
            values = np.asarray(prediction.values, dtype=np.float64)
            return [_tensor("value", "FP64", [len(values)], values.tolist())]
        assert prediction.labels is not None and prediction.probabilities is not None
        labels = [self._classes[code] for code in prediction.labels]
        probabilities = np.asarray(prediction.probabilities, dtype=np.float64)
        shape = list(probabilities.shape)
        scores = _tensor("probabilities", "FP64", shape, probabilities.ravel().tolist())
        scores["parameters"] = self._class_parameters()
        return [_tensor("label", "BYTES", [len(labels)], labels), scores]


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def _parsed(body: bytes) -> Any:
    if not body.strip():
        raise Refusal("The body is empty; send JSON.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = " NaN and infinity are no JSON; send null." if b"NaN" in body else ""
        raise Refusal(f"The body is not JSON: {error}.{hint}") from None
