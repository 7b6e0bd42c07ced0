"""The protocols' own forms against a running server: columns, matrices, bytes, gRPC, paths."""

import json
import struct
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pyarrow as pa
import pytest
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


def test_columns_are_answered_as_rows_are(both, binary):
    body = columns(binary, binary.rows[:30])
    assert both.post(V1, json=body).json() == both.predict(binary.rows[:30]).json()
    body["parameters"] = {"threshold": 0}
    labels = {p["label"] for p in both.post(V1, json=body).json()["predictions"]}
    assert labels == {"yes"}
    explained = both.post("/v1/models/trips:explain", json=columns(binary, binary.rows[:2]))
    assert len(explained.json()["explanations"]) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fare": [1.0]}, ["'passengers' has 2 values", "'fare' has 1"]),
        ({"passengers": [1, 2, 3]}, ["'passengers' has 3 values", "'fare' has 2"]),
        ({"fare": 3}, ["'fare' must be a list", "the number 3"]),
        ({"fare": [1.0, "x"]}, ["Row 1, column 'fare'", "'x'"]),
        ({"tips": [1, 2]}, ["'tips'", "does not know"]),
    ],
)
def test_bad_columns_are_refused(both, binary, changes, words):
    body = columns(binary, binary.rows[:2], **changes)
    refused(both.post(V1, json=body), *words)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda body: body | {"instances": []}, "not both"),
        (lambda body: body | {"inputs": []}, "'inputs' must be an object"),
        (lambda body: {"inputs": {k: [] for k in body["inputs"]}}, "nothing to predict"),
        (lambda body: {"inputs": {"fare": [1]}}, "lacks the column"),
    ],
)
def test_bad_bodies_of_columns_are_refused(both, binary, change, word):
    refused(both.post(V1, json=change(columns(binary, binary.rows[:2]))), word)


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


@pytest.fixture(scope="module")
def whole(binary):
    """Two rows with nothing missing."""
    full = [row for row in binary.rows if None not in row.values()]
    return full[:2]


def sized(size):
    return {"parameters": {"binary_data_size": size}}


LONG = struct.pack("<I", 2**32 - 1) + b"Flash Cab"
BYTES_CASES = {
    "too few bytes": ({}, {"fare": b"\0" * 8}, ["'fare'", "16 bytes", "8 bytes came"]),
    "too many bytes": ({}, {"fare": b"\0" * 24}, ["'fare'", "16 bytes", "24 bytes came"]),
    "infinite": ({}, {"fare": np.array([1.0, -np.inf])}, ["Row 1, column 'fare'", "-inf"]),
    "null never seen": ({}, {"fare": np.array([1, np.nan])}, ["Row 1, column 'fare' is null"]),
    "neither yes nor no": ({}, {"shared": b"\1\2"}, ["Row 1, column 'shared'", "0 or 1"]),
    "length past the end": ({}, {"company": LONG}, ["Row 0, column 'company'", "4,294,967,295"]),
    "cut length": ({}, {"company": b"\1\0\0\0a\1\0"}, ["Row 1, column 'company'", "takes 4"]),
    "one text": ({}, {"company": b"\1\0\0\0a"}, ["'company' has 2 cells", "hold 1"]),
    "three texts": ({}, {"company": b"\0\0\0\0" * 3}, ["'company' has 2 cells", "4 bytes after"]),
    "not UTF-8": (
        {},
        {"driver": b"\1\0\0\0a\2\0\0\0\xff\xfe"},
        ["Row 1, column 'driver'", "UTF-8"],
    ),
    "wrong label": ({"fare": {"datatype": "BYTES"}}, {}, ["'fare'", "FP64", "'BYTES'"]),
    "unknown label": ({"fare": {"datatype": "BF16"}}, {}, ["'fare'", "does not know"]),
    "a huge shape": ({"fare": {"shape": [2**62]}}, {}, ["rows"]),
    "a negative shape": ({"fare": {"shape": [-1]}}, {}, ["'fare'", "[-1]"]),
    "two dimensions": ({"fare": {"shape": [1, 2]}}, {}, ["'fare'", "[n] or [n, 1]"]),
    "data beside bytes": ({"fare": {"data": [1, 2]}}, {}, ["'fare'", "send one"]),
    "size of text": ({"fare": sized("16")}, {}, ["'fare'", "the text '16'"]),
    "size below 0": ({"fare": sized(-16)}, {}, ["'fare'", "-16"]),
    "size too large": ({"day": sized(10**15)}, {}, ["'day' says 1,000,000,000,000,000 bytes"]),
    "bytes left over": ({"fare": sized(8)}, {}, ["bytes are left over"]),
    "parameters of text": ({"fare": {"parameters": "x"}}, {}, ["'parameters' of column 'fare'"]),
    "twice": ({"miles": {"name": "fare"}}, {}, ["'fare' comes twice"]),
}


@pytest.mark.parametrize("case", BYTES_CASES)
def test_bad_bytes_are_refused_with_the_place(both, binary, whole, case):
    changes, replaced, words = BYTES_CASES[case]
    payload, parts = tensors(binary, whole, **changes)
    for name, content in replaced.items():
        parts[name] = content if isinstance(content, bytes) else content.tobytes()
        index = binary.names.index(name)
        payload["inputs"][index]["parameters"]["binary_data_size"] = len(parts[name])
    refused(send(both, payload, parts), *words)


@pytest.mark.parametrize("length", ["", "-1", "1e3", "0x10", "9" * 5000, "999999", "10"])
def test_a_wrong_length_of_the_json_is_refused(both, binary, whole, length):
    refused(send(both, *tensors(binary, whole), length=length), "JSON")


def test_bytes_go_by_v2_and_with_the_header_alone(both, binary, whole):
    payload, parts = tensors(binary, whole)
    assert send(both, payload, parts).status_code == 200
    assert send(both, payload, parts, kind="application/json").status_code == 200
    refused(send(both, payload, parts, path=V1), "V2", status=415)
    headers = {"content-type": "application/octet-stream"}
    refused(both.post(V2, content=b"{}", headers=headers), "must be JSON", status=415)


def test_bytes_and_lists_go_together(both, binary, whole):
    payload, parts = tensors(binary, whole)
    for tensor in payload["inputs"]:
        if tensor["name"] in ("company", "miles"):
            del parts[tensor["name"]], tensor["parameters"]
            tensor["data"] = [row[tensor["name"]] for row in whole]
    answer = send(both, payload, parts).json()["outputs"][1]["data"]
    wanted = both.predict(whole).json()["predictions"]
    assert answer == [p for output in wanted for p in output["probabilities"].values()]


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"parameters": {"binary_data_output": 1}}, "'binary_data_output' must be true or false"),
        ({"parameters": {"null_text": 1}}, "'null_text' must be text"),
        ({"parameters": {"treshold": 0.5}}, "'treshold'"),
        ({"parameters": {"threshold": 2}}, "from 0 to 1"),
        ({"parameters": {"explain": True}}, ":explain"),
        ({"parameters": []}, "'parameters' must be an object"),
        ({"outputs": [{"name": "label"}, {"name": "label"}]}, "twice"),
        ({"outputs": [{"name": "label", "parameters": {"classification": 2}}]}, "classification"),
        ({"outputs": [{"name": "label", "parameters": {"binary_data": 1}}]}, "true or false"),
        ({"outputs": [{"name": "label", "parameters": 3}]}, "must be an object"),
    ],
)
def test_wishes_that_are_not_known_are_refused(both, binary, whole, extra, word):
    payload, parts = tensors(binary, whole)
    refused(send(both, payload | extra, parts), word)


def test_the_most_probable_classes_come_with_their_names(models, serving):
    model = models["multiclass"]
    with serving(model.path) as served:
        inputs, parts = tensors(model, [r for r in model.rows if r["company"]][:3])
        answer = send(served, inputs | {"parameters": {"top_k": 2}}, parts).json()["outputs"]
    by_name = {output["name"]: output for output in answer}
    assert by_name["probabilities"]["shape"] == by_name["classes"]["shape"] == [3, 2]
    assert by_name["classes"]["data"][::2] == by_name["label"]["data"]
    best = np.reshape(by_name["probabilities"]["data"], (3, 2))
    assert (best[:, 0] >= best[:, 1]).all()


@pytest.fixture(scope="module")
def plain(tmp_path_factory, train_on):
    """A model of three columns of numbers; the second was missing in training."""
    draw = np.random.default_rng(3)
    table = pa.table(
        {
            "a": draw.normal(size=300),
            "b": pa.array([None if i % 9 == 0 else float(i % 7) for i in range(300)]),
            "c": draw.integers(0, 1000, 300),
        }
    )
    label = pa.array(table["a"].to_numpy() * 2 + table["c"].to_numpy())
    return train_on(table, label, "regression", tmp_path_factory.mktemp("plain") / "model")


@pytest.fixture(scope="module")
def numbers(plain, serving):
    with serving(plain.path, "--enable_grpc", "true", "--grpc_port", 0) as served:
        yield served


def matrix(data, shape, datatype="FP64", **changes):
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "data": data}
    return {"inputs": [tensor | changes]}


@pytest.mark.parametrize("count", [1, 20, 300])
def test_one_matrix_holds_all_the_columns(numbers, plain, count):
    rows = [[row[name] for name in plain.names] for row in plain.rows[:count]]
    wanted = [output["value"] for output in plain.outputs()[:count]]
    for data in (rows, [cell for row in rows for cell in row]):
        answer = numbers.infer(matrix(data, [count, 3]))
        assert answer.json()["outputs"][0]["data"] == wanted
    cells = np.array(rows, dtype=float)
    payload = matrix(None, [count, 3], **sized(cells.nbytes))
    assert send(numbers, payload, {"x": cells.tobytes()}).json()["outputs"][0]["data"] == wanted
    filled = [[1 if cell is None else int(cell) for cell in row] for row in rows]
    by_integers = numbers.infer(matrix(filled, [count, 3], "INT32")).json()["outputs"]
    content = np.array(filled, "<i4").tobytes()
    payload = matrix(None, [count, 3], "INT32", **sized(len(content)))
    assert send(numbers, payload, {"x": content}).json()["outputs"] == by_integers


MATRIX_CASES = {
    "too narrow": (matrix([1, 2], [1, 2]), ["'x'", "[n, 3]", "'a', 'b', 'c'"]),
    "negative": (matrix([], [-1, 3]), ["[n, 3]"]),
    "no row": (matrix([], [0, 3]), ["nothing to predict"]),
    "ragged": (matrix([[1, 2, 3], [4, 5]], [2, 3]), ["Row 1 has 2 values"]),
    "ragged with as many": (matrix([[1, 2], [3, 4, 5, 6]], [2, 3]), ["Row 0 has 2 values"]),
    "one row as a number": (matrix([[1, 2, 3], 4], [2, 3]), ["Row 1 must be a list"]),
    "a row too few": (matrix([[1, 2, 3]], [2, 3]), ["they differ"]),
    "cells too few": (matrix([1, 2, 3, 4], [2, 3]), ["4 values"]),
    "text": (matrix([1, 2, "x"], [1, 3]), ["Row 0, column 'c'", "'x'"]),
    "deep": (matrix([[1, 2, [3]]], [1, 3]), ["Row 0, column 'c'", "a list of 1"]),
    "boolean": (matrix([1, 2, 3, 4, True, 6], [2, 3]), ["Row 1, column 'b'"]),
    "null never seen": (matrix([1, None, 3, 4, 5, None], [2, 3]), ["Row 1, column 'c' is null"]),
    "fraction": (matrix([1, 2, 3.5], [1, 3], "INT64"), ["Row 0, column 'c'", "whole"]),
    "out of range": (matrix([1, 2, 300], [1, 3], "UINT8"), ["0 to 255", "300"]),
    "label of text": (matrix([1, 2, 3], [1, 3], "BYTES"), ["FP64", "'BYTES'"]),
    "unknown label": (matrix([1, 2, 3], [1, 3], "FLOAT"), ["does not know"]),
    "no data": (matrix(None, [1, 3]), ["must have 'data'"]),
}


@pytest.mark.parametrize("case", MATRIX_CASES)
@pytest.mark.parametrize("padding", [0, 5000])
def test_a_bad_matrix_is_refused_with_the_place(numbers, case, padding):
    payload, words = MATRIX_CASES[case]
    body = json.dumps(payload).encode() + b" " * padding
    refused(numbers.post(V2, content=body), *words)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([1, 2, np.inf], ["Row 0, column 'c'", "inf"]),
        ([1, 2, 3, np.nan, 5, 6], ["Row 1, column 'a' is null"]),
    ],
)
def test_a_bad_matrix_of_bytes_is_refused_with_the_place(numbers, cells, words):
    for count in (1, 20):
        content = np.array([1.0, 2.0, 3.0] * 20 * (count - 1) + cells)
        payload = matrix(None, [len(content) // 3, 3], **sized(content.nbytes))
        answer = send(numbers, payload, {"x": content.tobytes()})
        refused(answer, *(words if count == 1 else words[1:]))


def test_a_matrix_is_for_columns_that_are_all_numbers(both):
    refused(both.infer(matrix([1, 2], [1, 2])), "all numbers", "'company'", "text or null")


@pytest.mark.parametrize("rows", [1, 400])
def test_brackets_in_text_do_not_confuse(numbers, rows):
    cells = ", ".join(["1.5, 2, 3"] * rows)
    body = (
        '{"id": "[[", "inputs": [{"name": "x]", "datatype": "FP64",'
        f' "shape": [{rows}, 3], "data": [{cells}]}}]}}'
    )
    answer = numbers.post(V2, content=body.encode()).json()
    assert (answer["id"], answer["outputs"][0]["shape"]) == ("[[", [rows])


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


def test_a_grpc_answer_says_which_model_made_it(both, binary, whole):
    answer, metadata = call(both, message(binary, whole))
    assert (answer.model_name, answer.model_version, answer.id) == ("trips", "7", "g1")
    parameters = {name: value.string_param for name, value in answer.parameters.items()}
    assert parameters == {"model_digest": binary.digest, "threshold": "0.4"}
    assert metadata["x-shipway-model-digest"] == binary.digest
    assert metadata["x-shipway-model-version"] == "7"


def test_grpc_takes_wishes(both, binary, whole):
    request = message(binary, whole)
    request.parameters["threshold"].string_param = "0.0"
    request.parameters["binary_data_output"].bool_param = True
    request.outputs.add(name="label")
    answer, _ = call(both, request)
    assert [output.name for output in answer.outputs] == ["label"]
    assert answer.raw_output_contents == [b"\3\0\0\0yes" * 2]
    assert answer.parameters["threshold"].string_param == "0.0"


def broken(change):
    def make(model, rows):
        request = message(model, rows)
        change(request)
        return request

    return make


def half_raw(model, rows):
    request = message(model, rows, raw=True)
    del request.raw_input_contents[-1]
    return request


def raw_and_typed(model, rows):
    request = message(model, rows, raw=True)
    request.inputs[0].contents.fp64_contents.append(1)
    return request


def set_first(field, value):
    return broken(lambda request: setattr(request.inputs[0], field, value))


GRPC_CASES = {
    "no inputs": (broken(lambda r: r.ClearField("inputs")), ["'inputs'"]),
    "missing column": (broken(lambda r: r.inputs.pop(0)), ["lacks the column 'fare'"]),
    "twice": (broken(lambda r: r.inputs.append(r.inputs[0])), ["'fare' comes twice"]),
    "unknown column": (set_first("name", "faree"), ["'faree'"]),
    "unknown label": (set_first("datatype", "FLOAT"), ["'fare'", "does not know"]),
    "other label": (set_first("datatype", "FP32"), ["'fp32_contents'", "'fp64_contents' came"]),
    "FP16": (set_first("datatype", "FP16"), ["'raw_input_contents'"]),
    "two contents": (
        broken(lambda r: r.inputs[0].contents.int_contents.append(1)),
        ["'fp64_contents' alone"],
    ),
    "no contents": (broken(lambda r: r.inputs[0].ClearField("contents")), ["'fare'", "0 values"]),
    "shape": (broken(lambda r: r.inputs[0].shape.append(2)), ["[n] or [n, 1]"]),
    "no shape": (broken(lambda r: r.inputs[0].ClearField("shape")), ["[n] or [n, 1]"]),
    "infinite": (
        broken(lambda r: r.inputs[0].contents.fp64_contents.__setitem__(1, float("inf"))),
        ["Row 1, column 'fare'", "inf"],
    ),
    "null never seen": (
        broken(lambda r: r.inputs[0].contents.fp64_contents.__setitem__(1, float("nan"))),
        ["Row 1, column 'fare' is null, and training never had it missing"],
    ),
    "not UTF-8": (
        broken(lambda r: r.inputs[3].contents.bytes_contents.__setitem__(0, b"\xff")),
        ["Row 0, column 'company'", "UTF-8"],
    ),
    "half raw": (half_raw, ["9 inputs and 8 'raw_input_contents'"]),
    "raw and typed": (raw_and_typed, ["'contents' beside"]),
    "unknown output": (broken(lambda r: r.outputs.add(name="labels")), ["'labels'"]),
    "unknown parameter": (
        broken(lambda r: r.parameters["treshold"].CopyFrom(pb.InferParameter(int64_param=1))),
        ["'treshold'"],
    ),
    "threshold of text": (
        broken(lambda r: r.parameters["threshold"].CopyFrom(pb.InferParameter(string_param="x"))),
        ["from 0 to 1", "'x'"],
    ),
    "an empty parameter": (
        broken(lambda r: r.parameters["top_k"].CopyFrom(pb.InferParameter())),
        ["'top_k'", "null"],
    ),
}


@pytest.mark.parametrize("case", GRPC_CASES)
def test_bad_grpc_requests_are_invalid_arguments_in_the_words_of_rest(both, binary, whole, case):
    make, words = GRPC_CASES[case]
    error, metadata = call(both, make(binary, whole))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    for word in words:
        assert word in error.details()
    assert metadata["x-shipway-model-digest"] == binary.digest


def test_bytes_that_are_no_message_are_an_invalid_argument(both):
    with grpc.insecure_channel(both.grpc, options=OPTIONS) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for content in (b"\xff" * 40, b"\x0a\xff" + b"a" * 20_000):
            with pytest.raises(grpc.RpcError) as caught:
                infer(content, timeout=30)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "ModelInferRequest" in caught.value.details()


def test_grpc_tells_of_the_server_and_the_model(both, binary):
    assert call(both, pb.ServerLiveRequest(), "ServerLive")[0].live
    assert call(both, pb.ServerReadyRequest(), "ServerReady")[0].ready
    assert call(both, pb.ModelReadyRequest(name="trips"), "ModelReady")[0].ready
    server = call(both, pb.ServerMetadataRequest(), "ServerMetadata")[0]
    assert (server.name, list(server.extensions)) == ("shipway", ["binary_tensor_data"])
    about = call(both, pb.ModelMetadataRequest(name="trips", version="7"), "ModelMetadata")[0]
    assert [column.name for column in about.inputs] == binary.names
    assert [list(output.shape) for output in about.outputs] == [[-1], [-1, 2]]
    assert list(about.versions) == ["7"]


@pytest.mark.parametrize(
    ("request_", "method", "code"),
    [
        (pb.ModelInferRequest(model_name="other"), "ModelInfer", "NOT_FOUND"),
        (pb.ModelInferRequest(model_name="trips", model_version="8"), "ModelInfer", "NOT_FOUND"),
        (pb.ModelReadyRequest(name="other"), "ModelReady", "NOT_FOUND"),
        (pb.ModelMetadataRequest(name="trips", version="8"), "ModelMetadata", "NOT_FOUND"),
        (
            pb.RepositoryModelUnloadRequest(model_name="trips"),
            "RepositoryModelUnload",
            "UNIMPLEMENTED",
        ),
        (pb.RepositoryModelLoadRequest(model_name="trips"), "RepositoryModelLoad", "UNIMPLEMENTED"),
    ],
)
def test_other_models_and_the_repository_are_not_there(both, request_, method, code):
    error, _ = call(both, request_, method)
    assert error.code().name == code
    assert "This server serves one model" in error.details() or "'trips'" in error.details()


def test_calls_at_the_same_time_get_their_own_answers(both, binary, whole):
    wanted = both.predict(whole).json()["predictions"]
    stub = GRPCInferenceServiceStub(grpc.insecure_channel(both.grpc, options=OPTIONS))

    def ask(index):
        request = message(binary, [whole[index % 2]])
        request.id = str(index)
        answer = stub.ModelInfer(request, timeout=30)
        assert answer.id == str(index)
        return answer.outputs[1].contents.fp64_contents[:]

    with ThreadPoolExecutor(8) as pool:
        for index, scores in enumerate(pool.map(ask, range(200))):
            assert scores == list(wanted[index % 2]["probabilities"].values())


def test_limits_hold_for_grpc(binary, whole, serving, refused):
    flags = ["--enable_grpc", "true", "--max_rows", 10, "--max_body_mib", 1]
    with serving(binary.path, *flags, "--grpc_port", 0) as served:
        error, _ = call(served, message(binary, whole * 6))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "12 rows" in error.details()
        error, _ = call(served, message(binary, whole * 10_000))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert call(served, message(binary, whole))[0].id == "g1"
        port = served.grpc.rsplit(":", 1)[1]
        status, text = refused(
            "--model_dir", binary.path, "--http_port", 0, *flags, "--grpc_port", port
        )
    assert status == 3
    assert f"127.0.0.1:{port} for gRPC" in text and "Traceback" not in text
    assert served.process.returncode == 0


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/v1/models", {"models": ["trips"]}),
        ("/v1/models/trips", {"name": "trips", "ready": True}),
        ("/v1/models/trips/versions/7", {"name": "trips", "ready": True}),
        ("/v2/models/trips/ready", {"name": "trips", "ready": True}),
        ("/v2/models/trips/versions/7/ready", {"name": "trips", "ready": True}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
    ],
)
def test_paths_tell_the_truth(both, path, wanted):
    assert both.get(path).json() == wanted


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/trips/versions/8",
        "/v1/models/other/versions/7",
        "/v2/models/trips/versions/8",
        "/v2/models/trips/versions/8/ready",
        "/v2/models/other/versions/7/ready",
    ],
)
def test_other_versions_and_models_are_not_there(both, path):
    refused(both.get(path), "this server has", status=404)


def test_the_versioned_paths_answer_as_the_others(both, binary, whole):
    body = {"instances": whole}
    assert both.post("/v1/models/trips/versions/7:predict", json=body).json() == (
        both.post(V1, json=body).json()
    )
    payload, parts = tensors(binary, whole)
    versioned = send(both, payload, parts, path="/v2/models/trips/versions/7/infer")
    assert versioned.json() == send(both, payload, parts).json()
    metadata = both.get("/v2/models/trips/versions/7").json()
    assert metadata == both.get("/v2/models/trips").json()
