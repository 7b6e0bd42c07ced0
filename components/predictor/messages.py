"""Messages of V2 gRPC: tensors out of a request, and an answer into one."""

import contextlib
import math
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from shipway.components.lib.scoring import Prediction
from shipway.components.predictor.binary import encode, text_of
from shipway.components.predictor.datatypes import FLOATS, Tensor
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.envelope import NOTHING, Envelope, Wishes, read_wishes
from shipway.components.predictor.lean import FEW_ROWS
from shipway.components.predictor.outputs import Outputs
from shipway.components.predictor.questions import NO_WISHES, Question
from shipway.components.predictor.refusals import Refusal, listed

CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def parsed_message(data: bytes) -> pb.ModelInferRequest:
    """A request as it came.

    Raises:
        Refusal: the bytes are no such message.
    """
    try:
        return pb.ModelInferRequest.FromString(data)
    except DecodeError as error:
        raise Refusal(f"The message is no ModelInferRequest: {error}.", cause="malformed") from None


def read_message(
    message: pb.ModelInferRequest, task: str, names: list[str]
) -> tuple[Envelope, bool]:
    """Take a request apart.

    Args:
        message: the request.
        task: of the model.
        names: of the model's outputs.

    Returns:
        Its tensors and wishes, and whether its answer is raw: as the request is, or asks for.

    Raises:
        Refusal: the tensors are neither typed nor raw, or a wish is not known.
    """
    raw = message.raw_input_contents
    if not message.inputs:
        raise Refusal("'inputs' must be a list of tensors; none came.", cause="shape")
    if not raw:
        tensors = [_typed(tensor) for tensor in message.inputs]
    elif len(raw) != len(message.inputs):
        raise Refusal(
            f"The request has {len(message.inputs)} inputs and {len(raw)} 'raw_input_contents'; "
            "send one for each input.",
            cause="datatype",
        )
    else:
        tensors = [_raw(tensor, data) for tensor, data in zip(message.inputs, raw, strict=True)]
    wishes = NOTHING
    if message.parameters or message.outputs:
        wishes = _wishes(message, task, names)
    return Envelope(tensors, message.id, wishes), bool(raw) or bool(wishes.binary)


def _raw(tensor: pb.ModelInferRequest.InferInputTensor, data: bytes) -> Tensor:
    if tensor.HasField("contents"):
        raise Refusal(
            f"Column '{tensor.name[:60]}' has 'contents' beside 'raw_input_contents'; send one of "
            "them.",
            cause="datatype",
        )
    return Tensor(tensor.name, tensor.datatype.upper(), tensor.shape[:], data)


def _typed(tensor: pb.ModelInferRequest.InferInputTensor) -> Tensor:
    cells: Any
    name, datatype = tensor.name, tensor.datatype
    if datatype not in CONTENTS:
        datatype = datatype.upper()
    filled = tensor.contents.ListFields()
    if len(filled) != 1 or filled[0][0].name != CONTENTS.get(datatype):
        _check_contents([known.name for known, _ in filled], name, datatype)
        cells = filled[0][1][:] if filled else []  # of a datatype that is not known
        return Tensor(name, datatype, tensor.shape[:], cells)
    cells = filled[0][1][:]
    if datatype in FLOATS:
        if len(cells) > FEW_ROWS or not all(map(math.isfinite, cells)):
            cells = np.array(cells, dtype=np.float64)
    elif datatype == "BYTES":
        cells = [
            text_of(cell, index, lambda at: f"Row {at}, column '{name[:60]}'")
            for index, cell in enumerate(cells)
        ]
    return Tensor(name, datatype, tensor.shape[:], cells)


def _check_contents(filled: list[str], name: str, datatype: str) -> None:
    """Refuse cells that do not stand where their datatype has them; an unknown one says it."""
    field = CONTENTS.get(datatype)
    if datatype == "FP16":
        raise Refusal(
            f"Column '{name[:60]}' is of FP16, which goes as 'raw_input_contents' alone.",
            cause="datatype",
        )
    if field and filled:
        raise Refusal(
            f"Column '{name[:60]}' is of {datatype}: its cells go in '{field}' alone; "
            f"{listed(filled)} came.",
            cause="datatype",
        )


def _wishes(message: pb.ModelInferRequest, task: str, names: list[str]) -> Wishes:
    parameters = {name: _value(value) for name, value in message.parameters.items()}
    threshold = parameters.get("threshold")
    if isinstance(threshold, str):  # gRPC's parameters have no fractions
        with contextlib.suppress(ValueError):  # refused as text
            parameters["threshold"] = float(threshold)
    outputs = [
        {
            "name": output.name,
            "parameters": {name: _value(value) for name, value in output.parameters.items()},
        }
        for output in message.outputs
    ]
    return read_wishes(parameters, outputs or None, task, names)


def _value(parameter: pb.InferParameter) -> Any:
    chosen = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, chosen) if chosen else None


class Answers:
    """Writes the answers of one model."""

    def __init__(self, engine: Engine, outputs: Outputs) -> None:
        """Prepare what is the same in every answer."""
        self._outputs = outputs
        message = pb.ModelInferResponse(model_name=engine.name, model_version=engine.version)
        message.parameters["model_digest"].string_param = engine.digest
        if engine.threshold is not None:
            message.parameters["threshold"].string_param = str(engine.threshold)
        # Messages that stand one after the other are one message with the fields of both.
        self._head = message.SerializeToString()

    def write(self, question: Question, prediction: Prediction, raw: bool) -> bytes:
        """The message that answers a request.

        Args:
            question: the request.
            prediction: for its rows.
            raw: whether its tensors are bytes.
        """
        message = pb.ModelInferResponse(id=question.request_id)
        if question.options is not NO_WISHES:
            threshold = self._outputs.threshold(question)
            if threshold is not None:
                message.parameters["threshold"].string_param = str(threshold)
        for name, datatype, shape, data, parameters in self._outputs.of(question, prediction):
            output = message.outputs.add(name=name, datatype=datatype, shape=shape)
            for key, value in parameters.items():
                output.parameters[key].string_param = value
            if raw:
                message.raw_output_contents.append(encode(data))
            elif isinstance(data, np.ndarray):
                output.contents.fp64_contents.extend(data.tolist())
            else:
                output.contents.bytes_contents.extend([text.encode() for text in data])
        content: bytes = self._head + message.SerializeToString()
        return content
