import json

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.errors import DataError
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.labels import infer_task
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import to_rows

ROWS = 500
OBJECTIVES = {
    "binary": {"objective": "binary:logistic"},
    "multiclass": {"objective": "multi:softprob", "num_class": 3},
    "regression": {"objective": "reg:squarederror"},
}
CALIBRATORS = {
    "binary": Calibrator("platt", [0.8, 0.1]),
    "multiclass": Calibrator("temperature", [0.6]),
    "regression": Calibrator(),
}


def table(task: str) -> pa.Table:
    draw = np.random.default_rng(0)
    x, city = draw.normal(size=ROWS), draw.choice(["Zürich", "Bern"], ROWS)
    score = x + (city == "Bern") + draw.normal(size=ROWS) / 2
    labels = {
        "binary": score > 0,
        "multiclass": np.digitize(score, [-0.5, 1.0]),
        "regression": score,
    }
    cells = [None if i % 9 == 0 else float(v) for i, v in enumerate(x)]
    return pa.table({"x": cells, "city": city, "label": labels[task]})


def scorer(task: str, threshold: float | None = None) -> Scorer:
    rows = table(task)
    plan = fit_plan(rows, "label", infer_task(rows["label"]))
    assert plan.target.task == task
    y = plan.target.encode(rows["label"])
    parameters = {**OBJECTIVES[task], "max_depth": 3, "nthread": 1}
    booster = xgb.train(parameters, xgb.DMatrix(plan.transform_training(rows), y), 20)
    calibrator = CALIBRATORS[task].to_json()
    return Scorer(booster, signature_of(plan, "m", threshold, calibrator, xgb.__version__))


@pytest.mark.parametrize("task", OBJECTIVES)
def test_a_row_alone_is_answered_as_in_a_batch_to_the_bit(task: str) -> None:
    one = scorer(task, 0.4 if task == "binary" else None)
    rows = table(task)
    batch = one.score_table(rows)
    answers = one.outputs(batch)
    transform = one.plan.row_transformer()
    for row, answer in zip(json.loads(json.dumps(to_rows(rows))), answers, strict=True):
        assert one.outputs(one.score_matrix(transform(row)[None, :])) == [answer]
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers


def test_answers_of_each_task_have_their_shape() -> None:
    binary = scorer("binary", 0.5)
    answer = binary.outputs(binary.score_table(table("binary").slice(0, 1)))[0]
    assert isinstance(answer["label"], bool)
    assert set(answer["probabilities"]) == {"False", "True"}
    several = scorer("multiclass")
    prediction = several.score_table(table("multiclass"))
    assert prediction.probabilities is not None
    assert prediction.labels is not None
    assert (prediction.labels == prediction.probabilities.argmax(axis=1)).all()
    assert set(several.outputs(prediction)[0]["probabilities"]) == {"0", "1", "2"}
    number = scorer("regression")
    assert list(number.outputs(number.score_table(table("regression")))[0]) == ["value"]


def test_probabilities_are_those_of_the_booster_after_calibration() -> None:
    one = scorer("binary", 0.5)
    matrix = one.plan.transform(table("binary"))
    margins = one._booster.predict(xgb.DMatrix(matrix), output_margin=True).astype(float)
    probabilities = one.score_matrix(matrix).probabilities
    assert probabilities is not None
    np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-0.8 * margins - 0.1)))


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_the_threshold_decides_the_label(threshold: float) -> None:
    prediction = scorer("binary", threshold).score_table(table("binary"))
    assert prediction.probabilities is not None
    assert prediction.labels is not None
    assert (prediction.labels == (prediction.probabilities[:, 1] >= threshold)).all()
    assert 0 < prediction.labels.sum() < ROWS


def test_a_probability_on_the_threshold_is_the_positive_class() -> None:
    prediction = scorer("binary", 0.5).score_table(table("binary"))
    assert prediction.probabilities is not None
    on_it = float(prediction.probabilities[7, 1])
    labels = scorer("binary", on_it).score_table(table("binary")).labels
    assert labels is not None
    assert labels[7] == 1


@pytest.mark.parametrize("task", OBJECTIVES)
def test_chunks_change_nothing(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = scorer(task)
    matrix = one.plan.transform(table(task))
    whole = one.margins(matrix)
    monkeypatch.setattr("shipway.components.lib.scoring.CHUNK", 7)
    assert one.margins(matrix).tobytes() == whole.tobytes()


@pytest.mark.parametrize("task", OBJECTIVES)
def test_no_rows_get_no_answers(task: str) -> None:
    one = scorer(task, 0.5 if task == "binary" else None)
    assert one.outputs(one.score_table(table(task).slice(0, 0))) == []


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="city"):
        scorer("regression").score_table(table("regression").drop_columns(["city"]))
