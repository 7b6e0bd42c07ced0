"""Every way in gives the bits that training's scorer gives: mixed rows, alone and in batches."""

import asyncio
import json
import struct

import grpc
import numpy as np
import pyarrow as pa
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from shipway.components.lib.tables import to_rows

NULL = "<null>"
DATATYPES = {"fare": "FP64", "passengers": "INT64", "miles": "FP64", "shared": "BOOL"}
FIELDS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents"}
DTYPES = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]


def mixed(model, count):
    """Rows whose cells come from all over the table, some with categories never seen."""
    draw = np.random.default_rng(5)
    columns = {}
    for name in model.table.column_names:
        column = model.table.column(name).combine_chunks()
        columns[name] = column.take(pa.array(draw.integers(0, len(column), count)))
    for name in ("company", "driver"):
        cells = columns[name].to_pylist()
        strange = draw.random(count) < 0.05
        cells = [
            f"new {i}" if new else c for i, (c, new) in enumerate(zip(cells, strange, strict=True))
        ]
        columns[name] = pa.array(cells, pa.string())
    return pa.table(columns)


def cells(rows, name):
    return [row[name] for row in rows]


def typed(name, rows):
    """The datatype of a column and its cells as a typed tensor holds them: NaN for null."""
    datatype, values = DATATYPES.get(name, "BYTES"), cells(rows, name)
    if datatype == "BYTES":
        return datatype, [NULL if value is None else value for value in values]
    return datatype, [float("nan") if value is None else value for value in values]


def as_bytes(datatype, values):
    if datatype != "BYTES":
        return np.array(values, DTYPES[datatype]).tobytes()
    texts = [value.encode() for value in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def predictions(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def v1_objects(served, model, rows):
    return predictions(served.predict(rows))


def v1_lists(served, model, rows):
    return predictions(served.predict([[row[name] for name in model.names] for row in rows]))


def v1_columns(served, model, rows):
    columns = {name: cells(rows, name) for name in model.names}
    return predictions(served.post("/v1/models/trips:predict", json={"inputs": columns}))


def v2_json(served, model, rows):
    inputs = [
        {"name": name, "datatype": DATATYPES.get(name, "BYTES"), "shape": [len(rows)]}
        | {"data": cells(rows, name)}
        for name in model.names
    ]
    answer = served.infer({"inputs": inputs})
    assert answer.status_code == 200, answer.text
    return from_outputs([(o, o["data"]) for o in answer.json()["outputs"]])


def v2_binary(served, model, rows):
    inputs, parts = [], []
    for name in model.names:
        datatype, values = typed(name, rows)
        parts.append(as_bytes(datatype, values))
        inputs.append(
            {"name": name, "datatype": datatype, "shape": [len(rows)]}
            | {"parameters": {"binary_data_size": len(parts[-1])}}
        )
    parameters = {"binary_data_output": True, "null_text": NULL}
    head = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
    }
    answer = served.post("/v2/models/trips/infer", content=head + b"".join(parts), headers=headers)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    at, outputs = length, []
    for output in json.loads(answer.content[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        outputs.append((output, answer.content[at : at + size]))
        at += size
    assert at == len(answer.content)
    return from_outputs(outputs)


def message(model, rows, raw):
    request = pb.ModelInferRequest(model_name="trips")
    request.parameters["null_text"].string_param = NULL
    for name in model.names:
        datatype, values = typed(name, rows)
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(rows), 1])
        if raw:
            request.raw_input_contents.append(as_bytes(datatype, values))
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend([value.encode() for value in values])
        else:
            getattr(tensor.contents, FIELDS[datatype]).extend(values)
    return request


def call(served, request):
    async def infer():
        async with grpc.aio.insecure_channel(served.grpc, options=OPTIONS) as channel:
            return await GRPCInferenceServiceStub(channel).ModelInfer(request)

    return asyncio.run(infer())


def grpc_typed(served, model, rows):
    answer = call(served, message(model, rows, raw=False))
    assert not answer.raw_output_contents
    outputs = []
    for output in answer.outputs:
        contents = output.contents
        data = list(contents.fp64_contents) or [t.decode() for t in contents.bytes_contents]
        outputs.append((described(output), data))
    return from_outputs(outputs)


def grpc_raw(served, model, rows):
    answer = call(served, message(model, rows, raw=True))
    assert len(answer.raw_output_contents) == len(answer.outputs)
    pairs = zip(answer.outputs, answer.raw_output_contents, strict=True)
    return from_outputs([(described(output), data) for output, data in pairs])


def described(output):
    parameters = {name: value.string_param for name, value in output.parameters.items()}
    return {"name": output.name, "shape": list(output.shape), "parameters": parameters}


def from_outputs(outputs):
    """The answer by row, of tensors with lists of cells or with bytes."""
    by_name = {about["name"]: (about, data) for about, data in outputs}
    name = "value" if "value" in by_name else "probabilities"
    about, data = by_name[name]
    numbers = np.frombuffer(data) if isinstance(data, bytes) else np.array(data)
    if name == "value":
        return [{"value": value} for value in numbers.tolist()]
    classes = json.loads(about["parameters"]["classes"])
    labels = by_name["label"][1]
    if isinstance(labels, bytes):
        labels = texts(labels)
    return [
        {"label": label, "probabilities": dict(zip(classes, row, strict=True))}
        for label, row in zip(labels, numbers.reshape(about["shape"]).tolist(), strict=True)
    ]


def texts(data):
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found


def as_text(outputs):
    """Labels as tensors carry them."""
    return [o if "value" in o else {**o, "label": str(o["label"])} for o in outputs]


BY_ROW = (v1_objects, v1_lists, v1_columns)
BY_TENSOR = (v2_json, v2_binary, grpc_typed, grpc_raw)


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def pair(request, models, serving):
    model = models[request.param]
    flags = ["--enable_grpc", "true", "--grpc_port", 0, "--timeout_seconds", 300]
    with serving(model.path, *flags) as served:
        served.client.timeout = 300
        yield served, model


def compare(pair, count, sizes):
    served, model = pair
    table = mixed(model, count)
    rows, expected = to_rows(table), model.outputs(table)
    for size in sizes:
        starts = range(0, min(count, 40 * size), size)
        for start in starts:
            part, wanted = rows[start : start + size], expected[start : start + size]
            for way in BY_ROW:
                assert way(served, model, part) == wanted, (way.__name__, start)
            for way in BY_TENSOR:
                assert way(served, model, part) == as_text(wanted), (way.__name__, start)


@pytest.mark.parametrize("size", [1, 7, 50, 3000])
def test_every_way_in_gives_the_scorers_bits(pair, size):
    compare(pair, 3000, [size])


@pytest.mark.slow
def test_every_way_in_gives_the_scorers_bits_for_100_000_rows(pair):
    compare(pair, 100_000, [100_000])
