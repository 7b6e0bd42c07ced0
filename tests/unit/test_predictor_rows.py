import json
import math

import pytest

from shipway.components.predictor.columns import InputColumn, Schema
from shipway.components.predictor.envelope import read_envelope
from shipway.components.predictor.refusals import Refusal, listed, shown
from shipway.components.predictor.rows import read_instances
from shipway.components.predictor.tensors import read_tensors

SCHEMA = Schema(
    [
        InputColumn("fare", "number"),
        InputColumn("company", "string", nullable=True),
        InputColumn("paid", "boolean"),
    ],
    ignored=["trip_id"],
)
GOOD = {"fare": 12.5, "company": "Flash Cab", "paid": True}


def instances(*rows):
    return {"instances": list(rows)}


def tensor(name, datatype, data, shape=None):
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def tensors(**changes):
    good = {
        "fare": tensor("fare", "FP64", [12.5, 3]),
        "company": tensor("company", "BYTES", ["Flash Cab", None]),
        "paid": tensor("paid", "BOOL", [True, False]),
    }
    return {"inputs": list((good | changes).values())}


def read(payload, schema=SCHEMA, max_rows=10):
    envelope = read_envelope(payload, "binary", ["label", "probabilities"])
    return read_tensors(envelope.tensors, schema, max_rows, envelope.wishes.null_text)


def without(row, name):
    return {key: value for key, value in row.items() if key != name}


def test_objects_and_lists_give_the_same_columns():
    by_name = read_instances(instances(GOOD, GOOD | {"company": None}), SCHEMA, 10)
    by_order = read_instances(instances([12.5, "Flash Cab", True], [12.5, None, True]), SCHEMA, 10)
    assert by_name == by_order
    assert by_name == {
        "fare": [12.5, 12.5],
        "company": ["Flash Cab", None],
        "paid": [True, True],
    }


def test_key_order_and_ignored_columns_do_not_matter():
    row = {"trip_id": "x1", "paid": True, "company": None, "fare": 1}
    assert list(read_instances(instances(row), SCHEMA, 10)) == ["fare", "company", "paid"]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (None, ["JSON object", "null"]),
        ([], ["JSON object", "a list of 0"]),
        ("x", ["JSON object", "'x'"]),
        ({}, ["no 'instances'", "nothing"]),
        ({"instance": [GOOD]}, ["no 'instances'", "'instance'"]),
        ({"instances": [GOOD], "parameter": {}}, ["'parameter'", "mean 'parameters'"]),
        ({"instances": None}, ["must be a list", "null"]),
        ({"instances": GOOD}, ["must be a list", "an object"]),
        ({"instances": []}, ["empty"]),
        ({"instances": [1]}, ["Row 0", "the number 1"]),
        (instances(GOOD, [1, 2, 3]), ["Row 1", "an object like row 0"]),
        (instances([12.5, "a", True], GOOD), ["Row 1", "a list like row 0"]),
        (instances([12.5, "a"]), ["Row 0", "2 values", "takes 3", "'fare', 'company', 'paid'"]),
        (instances([12.5, "a", True], [1, 2, 3, 4]), ["Row 1", "4 values"]),
        (instances(GOOD, without(GOOD, "paid")), ["Row 1", "lacks", "'paid'", "true or false"]),
        (
            instances(without(GOOD, "fare") | {"faree": 1}),
            ["lacks the column 'fare'", "It has 'faree'?"],
        ),
        (instances(GOOD, GOOD | {"fares": 1}), ["Row 1", "'fares'", "Did you mean 'fare'?"]),
        (instances(GOOD | {"zzz": 1}), ["'zzz'", "It takes 'fare', 'company', 'paid'"]),
        (instances(GOOD, GOOD | {"fare": "n/a"}), ["Row 1, column 'fare'", "a number", "'n/a'"]),
        (instances(GOOD | {"fare": True}), ["column 'fare'", "the boolean true"]),
        (instances(GOOD | {"fare": None}), ["column 'fare' is null", "never had it missing"]),
        (instances(GOOD | {"fare": [1]}), ["column 'fare'", "a list of 1"]),
        (instances(GOOD | {"company": 7}), ["column 'company'", "text or null", "the number 7"]),
        (instances(GOOD | {"paid": 1}), ["column 'paid'", "true or false", "the number 1"]),
        (instances(GOOD | {"paid": "true"}), ["column 'paid'", "the text 'true'"]),
    ],
)
def test_bad_instances_are_refused_with_the_place(payload, words):
    with pytest.raises(Refusal) as caught:
        read_instances(payload, SCHEMA, 10)
    assert caught.value.status == 400
    for word in words:
        assert word in caught.value.message


def test_too_many_rows_are_413_by_both_protocols():
    with pytest.raises(Refusal, match=r"3 rows.*at most 2") as caught:
        read_instances(instances(GOOD, GOOD, GOOD), SCHEMA, 2)
    assert caught.value.status == 413
    with pytest.raises(Refusal, match=r"2 rows.*at most 1") as caught:
        read(tensors(), max_rows=1)
    assert caught.value.status == 413


def test_tensors_give_columns_in_the_order_of_the_schema():
    payload = tensors()
    payload["inputs"].reverse()
    payload |= {"id": "42", "outputs": [{"name": "label"}]}
    columns = read(payload)
    assert list(columns) == ["fare", "company", "paid"]
    assert columns["company"] == ["Flash Cab", None]
    envelope = read_envelope(payload, "binary", ["label", "probabilities"])
    assert (envelope.request_id, envelope.wishes.outputs) == ("42", ["label"])


@pytest.mark.parametrize("data", [[12.5, 3], [[12.5], [3]]])
def test_a_column_may_be_of_shape_n_by_1(data):
    payload = tensors(fare=tensor("fare", "fp32", data, [2, 1]))
    assert read(payload)["fare"] == [12.5, 3]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (None, ["JSON object", "null"]),
        ({}, ["'inputs'", "none came"]),
        ({"inputs": {}}, ["'inputs'", "an object"]),
        ({"inputs": []}, ["'inputs'", "a list of 0"]),
        ({"inputs": [3]}, ["Input 0", "the number 3"]),
        ({"inputs": [{"data": []}]}, ["Input 0", "'name'", "none"]),
        ({"inputs": [{"name": 3}]}, ["Input 0", "'name'", "the number 3"]),
        (tensors() | {"id": 3}, ["'id'", "the number 3"]),
        (tensors() | {"outputs": "label"}, ["'outputs'", "list"]),
        (tensors() | {"outputs": ["label"]}, ["Output 0", "'name'"]),
        (tensors(fare=tensor("paid", "BOOL", [True, True])), ["'paid' comes twice"]),
        (tensors(fare=tensor("faree", "FP64", [1, 2])), ["lacks the column 'fare'", "'faree'?"]),
        (tensors(extra=tensor("extra", "FP64", [1, 2])), ["'extra'", "does not know"]),
        (tensors(fare=tensor("fare", "FP64", [1])), ["'company' has 2 rows", "'fare' has 1"]),
        (tensors(fare=tensor("fare", "FP64", [1, 2], [3])), ["'fare'", "[3]", "2 values"]),
        (tensors(fare=tensor("fare", "FP64", [1, 2], [2, 2])), ["'fare'", "[n] or [n, 1]"]),
        (tensors(fare=tensor("fare", "FP64", [1, 2], [-2])), ["'fare'", "[-2]"]),
        (tensors(fare=tensor("fare", "FP64", [1, 2], [True])), ["'fare'", "[True]"]),
        (tensors(fare=tensor("fare", "FP64", [1, 2], ["2"])), ["'fare'", "['2']"]),
        (tensors(fare={"name": "fare", "datatype": "FP64", "data": [1, 2]}), ["'fare'", "null"]),
        (tensors(fare={"name": "fare", "datatype": "FP64", "shape": [2]}), ["'fare'", "'data'"]),
        (
            tensors(
                fare={
                    "name": "fare",
                    "datatype": "FP64",
                    "shape": [2],
                    "parameters": {"binary_data_size": 16},
                }
            ),
            ["'fare'", "says 16 bytes", "0 are left", "Inference-Header-Content-Length"],
        ),
        (tensors(fare=tensor("fare", "BYTES", ["1", "2"])), ["'fare'", "FP64", "'BYTES'"]),
        (
            tensors(fare=tensor("fare", "FLOAT", [1, 2])),
            ["'fare'", "'FLOAT'", "does not know that datatype"],
        ),
        (tensors(fare=tensor("fare", 64, [1, 2])), ["'fare'", "the number 64"]),
        (tensors(paid=tensor("paid", "INT8", [1, 0])), ["'paid'", "BOOL", "'INT8'"]),
        (tensors(fare=tensor("fare", "FP64", [1, "x"])), ["Row 1, column 'fare'", "'x'"]),
        (tensors(fare=tensor("fare", "FP64", [1, None])), ["Row 1, column 'fare' is null"]),
        (
            tensors(fare=tensor("fare", "INT32", [1, 2.5])),
            ["Row 1", "INT32, which is whole", "2.5"],
        ),
        (tensors(fare=tensor("fare", "INT8", [1, 300])), ["Row 1", "-128 to 127", "300"]),
        (tensors(fare=tensor("fare", "UINT8", [-1, 3])), ["Row 0", "0 to 255", "-1"]),
        (tensors(fare=tensor("fare", "FP64", [[1, 2], [3]], [2, 1])), ["Row 0", "a list of 2"]),
    ],
)
def test_bad_tensors_are_refused_with_the_place(payload, words):
    with pytest.raises(Refusal) as caught:
        read(payload)
    assert caught.value.status == 400
    for word in words:
        assert word in caught.value.message


def test_empty_tensors_are_refused():
    payload = {"inputs": [tensor(c.name, "FP64", [], [0]) for c in SCHEMA.columns]}
    with pytest.raises(Refusal, match="nothing to predict"):
        read(payload)


WORDS = Schema(
    [
        InputColumn("total", "string", "text_number"),
        InputColumn("partner", "string", "boolean"),
        InputColumn("since", "string", "datetime"),
        InputColumn("rate", "string", "text_number", nullable=True),
    ]
)
WORDS_ROW = {"total": "29.85", "partner": "Yes", "since": "2024-01-31T10:00:00Z", "rate": " "}


def test_text_that_is_read_may_come_in_its_own_type():
    row = {"total": 1e-7, "partner": True, "since": "2024-01-31", "rate": 3}
    columns = read_instances(instances(WORDS_ROW, row), WORDS, 10)
    assert columns["total"] == ["29.85", "1e-07"]
    assert columns["partner"] == ["Yes", "true"]
    assert columns["rate"] == [" ", "3"]
    payload = {
        "inputs": [
            tensor("total", "FP64", [29.85]),
            tensor("partner", "BOOL", [False]),
            tensor("since", "BYTES", ["2024-01-31"]),
            tensor("rate", "INT16", [None]),
        ]
    }
    assert [cells[0] for cells in read(payload, WORDS).values()] == [
        "29.85",
        "false",
        "2024-01-31",
        None,
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("total", "n/a", "a number"),
        ("total", "", "a number"),
        ("total", True, "a number"),
        ("partner", "perhaps", "a word of yes or no"),
        ("partner", 1, "a word of yes or no"),
        ("since", "31.01.2024", "ISO 8601"),
        ("since", 1706695200, "ISO 8601"),
        ("since", None, "never had it missing"),
        ("rate", True, "a number or null"),
    ],
)
def test_text_that_cannot_be_read_is_refused(name, value, expected):
    with pytest.raises(Refusal) as caught:
        read_instances(instances(WORDS_ROW, WORDS_ROW | {name: value}), WORDS, 10)
    assert f"Row 1, column '{name}'" in caught.value.message
    assert expected in caught.value.message


def test_what_cannot_be_read_is_missing_where_training_had_it_so():
    row = WORDS_ROW | {"rate": "n/a"}
    assert read_instances(instances(row), WORDS, 10)["rate"] == ["n/a"]


def test_text_in_a_tensor_of_numbers_is_refused():
    payload = {"inputs": [tensor(name, "BYTES", [value]) for name, value in WORDS_ROW.items()]}
    payload["inputs"][0]["datatype"] = "FP64"
    with pytest.raises(Refusal, match="column 'total' must be of the datatype FP64"):
        read(payload, WORDS)


@pytest.mark.parametrize("value", ["x" * 5000, 10**300, {"a": "b" * 5000}, ["y"] * 5000, math.pi])
def test_what_came_is_quoted_short(value):
    assert len(shown(value)) < 100
    json.dumps(shown(value)).encode("ascii")


def test_many_names_are_cut():
    assert listed([f"c{i}" for i in range(13)]).endswith("'c9' and 3 more")
