"""What is asked: a protocol, so many rows a request, so many connections."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from tests.bench.models import Model

JSON = {"Content-Type": "application/json"}
LENGTH = "Inference-Header-Content-Length"
GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"
TOLERANCE = 1e-5
FLOATS = {"FP32": "<f4", "FP64": "<f8"}


@dataclass(frozen=True)
class Cell:
    """A kind of load.

    Attributes:
        protocol: "v1", "v1-dict", "v2", "v2-binary" or "grpc".
        rows: of a request.
        connections: that ask at once.
    """

    protocol: str
    rows: int
    connections: int

    @property
    def name(self) -> str:
        """As options and tables have it."""
        return f"{self.protocol}-b{self.rows}-c{self.connections}"


CELLS = {
    cell.name: cell
    for cell in (
        Cell("v1", 1, 1),
        Cell("v1", 1, 16),
        Cell("v1", 1000, 8),
        Cell("v1-dict", 1, 16),
        Cell("v1-dict", 1000, 8),
        Cell("v2", 1, 16),
        Cell("v2", 1000, 8),
        Cell("v2-binary", 1000, 8),
        Cell("grpc", 1, 16),
    )
}


@dataclass(frozen=True)
class Asked:
    """A request that is sent again and again."""

    path: str
    headers: dict[str, str]
    body: bytes


class WrongAnswerError(Exception):
    """A server answers, but not what the model says."""


def ask(cell: Cell, model: Model) -> Asked:
    """The request of a cell."""
    rows = model.rows[: cell.rows]
    lists = [list(row.values()) for row in rows]
    if cell.protocol.startswith("v1"):
        instances = rows if cell.protocol == "v1-dict" else lists
        body = json.dumps({"instances": instances}, separators=(",", ":")).encode()
        return Asked("/v1/models/bench:predict", JSON, body)
    path, shape = "/v2/models/bench/infer", [len(lists), len(lists[0])]
    if cell.protocol == "grpc":
        return Asked(GRPC_METHOD, {}, _grpc_frame(np.array(lists, dtype="<f4")))
    tensor: dict[str, Any] = {"name": "input-0", "shape": shape, "datatype": "FP32"}
    if cell.protocol == "v2":
        tensor["data"] = [cell for row in lists for cell in row]
        return Asked(path, JSON, json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode())
    content = np.array(lists, dtype="<f4").tobytes()
    tensor["parameters"] = {"binary_data_size": len(content)}
    request = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(request, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/octet-stream", LENGTH: str(len(head))}
    return Asked(path, headers, head + content)


def check(cell: Cell, model: Model, url: str, grpc_port: int) -> str:
    """Ask once, and compare the answer with the model's.

    Returns:
        Why the server does not support the cell, or "".

    Raises:
        WrongAnswerError: it answers something else than the model.
    """
    numeric = not any(isinstance(value, str) for value in model.rows[0].values())
    if not numeric and not cell.protocol.startswith("v1"):
        return "one tensor of all columns holds numbers alone"
    asked = ask(cell, model)
    if cell.protocol == "grpc":
        answer = _grpc_answer(asked.body, grpc_port)
    else:
        with httpx.Client(trust_env=False, timeout=60.0) as client:
            response = client.post(url + asked.path, content=asked.body, headers=asked.headers)
        if response.status_code != 200:
            return f"{response.status_code}: {response.text[:160]}"
        answer = _read(response.content, response.headers)
    if isinstance(answer, str):
        return answer
    expected = model.expected[: cell.rows]
    if answer.shape != expected.shape or np.abs(answer - expected).max() > TOLERANCE:
        raise WrongAnswerError(f"{answer[:3]} came, {expected[:3]} is right")
    return ""


def _read(content: bytes, headers: Mapping[str, str]) -> np.ndarray:
    length = int(headers.get(LENGTH, len(content)))
    payload, rest = json.loads(content[:length]), content[length:]
    if "predictions" in payload:
        found = payload["predictions"]
        if isinstance(found[0], dict):
            found = [row["probabilities"]["1"] for row in found]
        return np.array(found, dtype=float)
    outputs = {}
    for output in payload["outputs"]:
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is None:
            outputs[output["name"]] = output["data"]
            continue
        if output["datatype"] in FLOATS:
            outputs[output["name"]] = np.frombuffer(rest[:size], FLOATS[output["datatype"]])
        rest = rest[size:]
    return _positive(outputs)


def _positive(outputs: dict[str, Any]) -> np.ndarray:
    """The probability of class 1 of each row, whatever the tensor's name."""
    if "probabilities" in outputs:
        return np.array(outputs["probabilities"], dtype=float).reshape(-1, 2)[:, 1]
    return np.array(next(iter(outputs.values())), dtype=float).ravel()


def _grpc_frame(matrix: np.ndarray) -> bytes:
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name="bench")
    request.inputs.add(name="input-0", datatype="FP32", shape=matrix.shape)
    request.raw_input_contents.append(matrix.tobytes())
    message: bytes = request.SerializeToString()
    return struct.pack(">BI", 0, len(message)) + message


def _grpc_answer(frame: bytes, port: int) -> np.ndarray | str:
    import grpc
    from tritonclient.grpc import service_pb2

    if not port:
        return "it was started without gRPC"
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(
            GRPC_METHOD, response_deserializer=service_pb2.ModelInferResponse.FromString
        )
        try:
            response = call(frame[5:], timeout=30)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()[:160]}"
    outputs = {}
    for index, output in enumerate(response.outputs):
        kind = output.datatype
        if kind not in FLOATS:
            continue
        if response.raw_output_contents:
            raw = response.raw_output_contents[index]
            outputs[output.name] = np.frombuffer(raw, FLOATS[kind])
        else:
            outputs[output.name] = getattr(output.contents, f"{kind.lower()}_contents")
    return _positive(outputs)
