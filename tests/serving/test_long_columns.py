"""Long bodies of columns take a short way; what it cannot read is refused as in short ones."""

import pytest

PATH = "/v1/models/trips:predict"
ROWS = 200


@pytest.fixture(scope="module")
def columns(binary):
    return {name: [row[name] for row in binary.rows[:ROWS]] for name in binary.names}


def test_columns_get_the_answers_of_rows(server, binary, columns):
    by_column = server.post(PATH, json={"inputs": columns})
    assert by_column.status_code == 200
    by_row = server.predict(binary.rows[:ROWS])
    assert by_column.json()["predictions"] == by_row.json()["predictions"]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("fare", lambda cells: [*cells[:-1], [1.0]], "column 'fare' must be a number"),
        ("fare", lambda cells: [*cells[:-1], None], "column 'fare' is null"),
        ("fare", lambda cells: [*cells[:-1], "1.0"], "column 'fare' must be a number"),
        ("fare", lambda cells: [*cells[:-1], True], "column 'fare' must be a number"),
        ("fare", lambda cells: cells[:-1], "all columns of a request must have the same"),
        ("driver", lambda cells: [*cells[:-1], 7], "column 'driver' must be text"),
        ("driver", lambda cells: [*cells[:-1], ["[x]"]], "column 'driver' must be text"),
        ("shared", lambda cells: [*cells[:-1], 1], "column 'shared' must be true or false"),
    ],
)
def test_what_is_wrong_in_them_is_refused(server, columns, name, change, words):
    answer = server.post(PATH, json={"inputs": columns | {name: change(columns[name])}})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_text_may_hold_brackets(server, columns):
    strange = columns | {"driver": ["[driver]"] * ROWS}
    assert server.post(PATH, json={"inputs": strange}).status_code == 200
