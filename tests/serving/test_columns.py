"""Columns in place of rows, by V1."""

import pytest

from tests.serving.requests import V1, columns, refused


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
