"""Requests in the protocols' own forms: columns, tensors in JSON and in bytes, gRPC messages."""

import json
import struct

import grpc
import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

DATATYPES = {"fare": "FP64", "passengers": "INT64", "miles": "FP64", "shared": "BOOL"}
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
V1, V2 = "/v1/models/trips:predict", "/v2/models/trips/infer"


def columns(model, rows, **changes):
    return {"inputs": {name: [row[name] for row in rows] for name in model.names} | changes}


def refused(answer, *words, status=400):
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    for word in words:
        assert word in answer.json()["error"]


def tensors(model, rows, **changes):
    """The JSON of named tensors, and their bytes by name; changes are of single tensors."""
    inputs, parts = [], {}
    for name in model.names:
        datatype, cells = DATATYPES.get(name, "BYTES"), [row[name] for row in rows]
        parts[name] = as_bytes(datatype, cells)
        about = {"name": name, "datatype": datatype, "shape": [len(rows)]}
        about["parameters"] = {"binary_data_size": len(parts[name])}
        inputs.append(about | changes.get(name, {}))
    return {"inputs": inputs}, parts


def as_bytes(datatype, cells):
    if datatype != "BYTES":
        dtype = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[datatype]
        return np.array(cells, dtype).tobytes()
    return b"".join(struct.pack("<I", len(cell.encode())) + cell.encode() for cell in cells)


def send(served, payload, parts, length=None, path=V2, kind="application/octet-stream"):
    head = json.dumps(payload).encode()
    length = len(head) if length is None else length
    headers = {"content-type": kind, "inference-header-content-length": str(length)}
    content = head + b"".join(parts.values())
    return served.post(path, content=content, headers=headers)


def sized(size):
    return {"parameters": {"binary_data_size": size}}


def call(served, request, method="ModelInfer"):
    """The answer, or what was raised, and the metadata after it."""
    with grpc.insecure_channel(served.grpc, options=OPTIONS) as channel:
        future = getattr(GRPCInferenceServiceStub(channel), method).future(request, timeout=30)
        return future.exception() or future.result(), dict(future.trailing_metadata() or ())


def message(model, rows, raw=False):
    fields = {"FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents"}
    request = pb.ModelInferRequest(model_name="trips", id="g1")
    for name in model.names:
        datatype, cells = DATATYPES.get(name, "BYTES"), [row[name] for row in rows]
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(rows)])
        if raw:
            request.raw_input_contents.append(as_bytes(datatype, cells))
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend([cell.encode() for cell in cells])
        else:
            getattr(tensor.contents, fields[datatype]).extend(cells)
    return request
