import numpy as np
import orjson
import pytest

from shipway.components.lib.scoring import Prediction, class_name
from shipway.components.predictor.answers import AnswerTexts

ROWS = 300


@pytest.mark.parametrize("classes", [["no", 'ye"s é'], [0, 1], [1, 2, 3], [False, True]])
@pytest.mark.parametrize("rows", [1, ROWS])
def test_answers_in_columns_are_the_text_of_answers_in_rows(classes, rows):
    draw = np.random.default_rng(0)
    probabilities = draw.random((rows, len(classes))) ** 40
    probabilities[-1, 0] = 1.0
    codes = probabilities.argmax(axis=1).astype(np.int32)
    names = [class_name(value) for value in classes]
    expected = [
        {"label": classes[code], "probabilities": dict(zip(names, row, strict=True))}
        for code, row in zip(codes.tolist(), probabilities.tolist(), strict=True)
    ]
    made = AnswerTexts(classes).text(Prediction(probabilities=probabilities, labels=codes))
    assert made == orjson.dumps(expected)


def test_values_in_columns_are_the_text_of_values_in_rows():
    values = np.random.default_rng(0).normal(size=ROWS) * 10.0 ** np.arange(-150, 150)
    expected = orjson.dumps([{"value": value} for value in values.tolist()])
    assert AnswerTexts([]).text(Prediction(values=values)) == expected
