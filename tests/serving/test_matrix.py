"""A matrix that holds all the columns, by V2."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tests.serving.requests import V2, refused, send, sized


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
