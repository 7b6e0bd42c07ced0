"""Broken gRPC requests are refused in the words of REST."""

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.serving.requests import call, message


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
