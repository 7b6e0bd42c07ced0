"""Tensors as bytes, by V2."""

import struct

import numpy as np
import pytest

from tests.serving.requests import V1, V2, refused, send, sized, tensors

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
