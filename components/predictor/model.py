"""The model as KServe's server sees it."""

import math
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput

from shipway.components.predictor.engine import Engine
from shipway.components.predictor.refusals import Refusal
from shipway.components.predictor.v2 import V2


class ShipwayModel(Model):  # type: ignore[misc]  # the SDK is not typed
    """A loaded engine as a `kserve.Model`: V1 objects and V2 requests, gRPC ones among them."""

    def __init__(self, engine: Engine) -> None:
        """Wrap an engine; it is ready, as its golden rows were replayed before."""
        super().__init__(engine.name, return_response_headers=True)
        self.engine_ = engine
        self._v2 = V2(engine)
        self.ready = True

    def validate(self, payload: Any) -> Any:
        """Leave the checks to the engine, which says more than the SDK's."""
        return payload

    def predict(
        self,
        payload: dict[str, Any] | InferRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Answer a request that came through the SDK.

        Raises:
            InvalidInput: the request is refused; the text names the row and the column.
        """
        if response_headers is not None:
            response_headers["x-shipway-model-digest"] = self.engine_.digest
            response_headers["x-shipway-model-version"] = self.engine_.version
        try:
            if not isinstance(payload, InferRequest):
                raise Refusal("V1 requests are answered before they come here.")
            question = self._v2.read_payload(_tensors(payload))
            prediction = self.engine_.score(question.batch.features)
            return _response(self._v2.payload(question, prediction))
        except Refusal as refusal:
            raise InvalidInput(refusal.message) from None

    def get_input_types(self) -> list[dict[str, Any]]:
        """The inputs of the V2 metadata."""
        return self.engine_.input_types()

    def get_output_types(self) -> list[dict[str, Any]]:
        """The outputs of the V2 metadata."""
        return self.engine_.output_types()


def _tensors(request: InferRequest) -> dict[str, Any]:
    """A request of the SDK in the form of V2 JSON."""
    inputs = []
    for tensor in request.inputs:
        try:
            cells = tensor.as_numpy().ravel().tolist()
        except (ValueError, TypeError, KeyError, InvalidInput) as error:
            raise Refusal(f"Column '{tensor.name}' cannot be read: {error}") from None
        try:
            data = [_cell(cell) for cell in cells]
        except UnicodeDecodeError:
            raise Refusal(f"Column '{tensor.name}' holds text that is not UTF-8.") from None
        if math.inf in data or -math.inf in data:
            bad = next(i for i, cell in enumerate(data) if cell in (math.inf, -math.inf))
            raise Refusal(f"Row {bad}, column '{tensor.name}' must be finite; {data[bad]} came.")
        inputs.append(
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "data": data,
            }
        )
    return {"id": request.id or "", "inputs": inputs}


def _cell(cell: Any) -> Any:
    if isinstance(cell, bytes):
        return cell.decode("utf-8")
    # Typed tensors have no null; NaN stands for it.
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _response(answer: dict[str, Any]) -> InferResponse:
    outputs = [
        InferOutput(
            name=output["name"],
            shape=output["shape"],
            datatype=output["datatype"],
            data=output["data"],
            parameters=output.get("parameters"),
        )
        for output in answer["outputs"]
    ]
    return InferResponse(
        response_id=answer["id"],
        model_name=answer["model_name"],
        model_version=answer.get("model_version"),
        infer_outputs=outputs,
        # The SDK's gRPC parameters are text, whole numbers or booleans.
        parameters={name: str(value) for name, value in answer["parameters"].items()},
    )
