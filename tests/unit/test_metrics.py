from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.measures import binary, equal_mass_bins, multiclass, regression
from shipway.components.lib.metrics import (
    HIGHER_IS_BETTER,
    MAIN_METRIC,
    METRIC_NAMES,
    bootstrap_intervals,
    compute_metrics,
    paired_difference,
)
from shipway.components.lib.scoring import Prediction
from shipway.components.lib.task import Target

BINARY = Target("binary", ["no", "yes"], "yes")
THREE = Target("multiclass", ["a", "b", "c"])
NUMBER = Target("regression")


def said(positive: Any, threshold: float = 0.5) -> Any:
    p = np.asarray(positive, dtype=np.float64)
    labels = (p >= threshold).astype(np.int32)
    return SimpleNamespace(probabilities=np.stack([1 - p, p], axis=1), labels=labels, values=None)


def values(numbers: Any) -> Any:
    array = np.asarray(numbers, dtype=np.float64)
    return Prediction(values=array)


def classes_said(probabilities: np.ndarray) -> Any:
    labels = probabilities.argmax(axis=1).astype(np.int32)
    return SimpleNamespace(probabilities=probabilities, labels=labels, values=None)


def coins(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and calibrated probabilities, with many ties."""
    random = np.random.default_rng(seed)
    p = np.round(random.uniform(0.02, 0.98, rows), 2)
    return (random.random(rows) < p).astype(np.int32), p


def test_binary_by_hand() -> None:
    y = np.array([0, 0, 1, 1], dtype=np.int32)
    found = compute_metrics(BINARY, y, said([0.1, 0.6, 0.6, 0.9]))
    assert found["auc"] == pytest.approx(3.5 / 4)  # of four pairs three are won and one is a tie
    assert found["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.16 + 0.01) / 4)
    assert found["accuracy"] == 0.75
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == 1.0
    assert found["f1"] == pytest.approx(0.8)
    assert set(found) == set(METRIC_NAMES["binary"])


def test_multiclass_by_hand() -> None:
    y = np.array([0, 1, 2], dtype=np.int32)
    p = np.array([[0.5, 0.25, 0.25], [0.2, 0.6, 0.2], [0.5, 0.3, 0.2]])
    found = compute_metrics(THREE, y, classes_said(p))
    assert found["log_loss"] == pytest.approx(-np.log([0.5, 0.6, 0.2]).mean())
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_regression_by_hand() -> None:
    found = compute_metrics(NUMBER, np.array([1.0, 2.0, 4.0]), values([2.0, 2.0, 2.0]))
    assert found["rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert found["mae"] == pytest.approx(1.0)
    assert found["mape"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert found["r2"] == pytest.approx(1 - 5 / (14 / 3))


@pytest.mark.parametrize("weighted", [False, True])
def test_binary_agrees_with_scikit_learn(weighted: bool) -> None:
    y, p = coins(700)
    w = np.random.default_rng(1).poisson(1.0, 700).astype(float) if weighted else np.ones(700)
    prediction = said(p, 0.4)
    found = {name: f(w) for name, f in binary(y, *_arrays(prediction)).items()}
    labels = prediction.labels
    assert found["auc"] == pytest.approx(reference.roc_auc_score(y, p, sample_weight=w))
    ap = reference.average_precision_score(y, p, sample_weight=w)
    assert found["average_precision"] == pytest.approx(ap)
    assert found["log_loss"] == pytest.approx(reference.log_loss(y, p, sample_weight=w))
    assert found["brier"] == pytest.approx(reference.brier_score_loss(y, p, sample_weight=w))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(y, labels, sample_weight=w))
    score = reference.precision_score(y, labels, sample_weight=w)
    assert found["precision"] == pytest.approx(score)
    assert found["recall"] == pytest.approx(reference.recall_score(y, labels, sample_weight=w))
    assert found["f1"] == pytest.approx(reference.f1_score(y, labels, sample_weight=w))


def test_multiclass_and_regression_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(2)
    y, w = random.integers(0, 3, 500).astype(np.int32), random.poisson(1.0, 500).astype(float)
    p = random.dirichlet([1, 1, 1], 500)
    p[np.arange(500), y] += 0.5
    p /= p.sum(axis=1, keepdims=True)
    prediction = classes_said(p)
    found = {name: f(w) for name, f in multiclass(y, *_arrays(prediction)).items()}
    assert found["log_loss"] == pytest.approx(reference.log_loss(y, p, sample_weight=w))
    f1 = reference.f1_score(y, prediction.labels, average="macro", sample_weight=w)
    assert found["macro_f1"] == pytest.approx(f1)
    area = np.mean([reference.roc_auc_score(y == k, p[:, k], sample_weight=w) for k in range(3)])
    assert found["auc_ovr"] == pytest.approx(area)
    truth = random.normal(5, 2, 500)
    guess = truth + random.normal(0, 1, 500)
    found = {name: f(w) for name, f in regression(truth, guess).items()}
    mse = reference.mean_squared_error(truth, guess, sample_weight=w)
    assert found["rmse"] == pytest.approx(np.sqrt(mse))
    assert found["r2"] == pytest.approx(reference.r2_score(truth, guess, sample_weight=w))
    mape = reference.mean_absolute_percentage_error(truth, guess, sample_weight=w)
    assert found["mape"] == pytest.approx(mape)


def test_measures_of_intervals_agree_with_scikit_learn() -> None:
    draw = np.random.default_rng(4)
    truth, w = draw.normal(5, 2, 400), draw.poisson(1.0, 400).astype(float)
    ends = np.stack([truth * 0 + 3.5, draw.uniform(6, 8, 400)], 1)
    found = {name: f(w) for name, f in regression(truth, ends[:, 0], ends, 0.8).items()}
    losses = [
        reference.mean_pinball_loss(truth, ends[:, side], alpha=alpha, sample_weight=w)
        for side, alpha in enumerate((0.1, 0.9))
    ]
    assert found["pinball_loss"] == pytest.approx(np.mean(losses))
    inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    assert found["interval_coverage"] == pytest.approx(np.average(inside, weights=w))
    assert found["interval_width"] == pytest.approx(np.average(ends[:, 1] - 3.5, weights=w))
    assert "interval_coverage" not in compute_metrics(NUMBER, truth, values(truth))


def test_rows_that_are_all_covered_do_not_make_coverage_certain() -> None:
    y = np.arange(40.0)
    prediction = Prediction(values=y, interval=np.stack([y - 1, y + 1], 1), coverage=0.9)
    low, high = bootstrap_intervals(NUMBER, y, prediction, ["interval_coverage"])[
        "interval_coverage"
    ]
    assert 0.85 < low < 0.95
    assert high == 1.0


def _arrays(prediction: Any) -> tuple[np.ndarray, np.ndarray]:
    return prediction.probabilities, prediction.labels


def test_calibration_error_by_hand() -> None:
    p = np.repeat([0.2, 0.8], 50)
    y = np.concatenate([np.arange(50) < 20, np.arange(50) < 40]).astype(np.int32)
    assert compute_metrics(BINARY, y, said(p))["ece"] == pytest.approx(0.1)  # 0.2 off in one half


def test_bins_hold_equal_mass_and_keep_ties_together() -> None:
    assert np.bincount(equal_mass_bins(np.arange(100.0))).tolist() == [10] * 10
    assert len(np.unique(equal_mass_bins(np.full(100, 0.3)))) == 1
    assert len(equal_mass_bins(np.zeros(0))) == 0


def test_undefined_metrics_are_absent_and_never_nan() -> None:
    one_class = compute_metrics(BINARY, np.ones(5, dtype=np.int32), said([0.1] * 5))
    assert {"auc", "precision"}.isdisjoint(one_class)
    assert one_class["recall"] == 0.0
    assert "mape" not in compute_metrics(NUMBER, np.array([0.0, 1.0]), values([1.0, 1.0]))
    assert "r2" not in compute_metrics(NUMBER, np.array([1.0, 1.0]), values([1.0, 2.0]))
    assert "auc_ovr" not in compute_metrics(
        THREE, np.array([0, 1], dtype=np.int32), classes_said(np.eye(3)[:2])
    )
    assert compute_metrics(BINARY, np.zeros(0, dtype=np.int32), said([])) == {}


def test_scores_that_are_not_numbers_measure_nothing() -> None:
    y = np.array([0, 1, 0, 1], dtype=np.int32)
    found = compute_metrics(BINARY, y, said([0.1, np.nan, 0.2, 0.9]))
    assert {"auc", "average_precision", "log_loss", "brier", "ece"}.isdisjoint(found)
    assert compute_metrics(NUMBER, np.array([1.0, 2.0]), values([1.0, np.nan])) == {}


def test_a_certain_error_costs_much_but_is_finite() -> None:
    found = compute_metrics(BINARY, np.array([0, 1], dtype=np.int32), said([0.0, 0.0]))
    assert 15 < found["log_loss"] < 20


def test_rows_of_an_unseen_class_are_errors() -> None:
    y = np.array([0, 1, -1, -1], dtype=np.int32)
    found = compute_metrics(BINARY, y, said([0.1, 0.9, 0.9, 0.1]))
    assert found["accuracy"] == 0.5
    assert found["precision"] == 0.5
    assert found["auc"] == 1.0
    three = compute_metrics(THREE, np.array([0, 1, 2, -1]), classes_said(np.eye(3)[[0, 1, 2, 2]]))
    assert three["accuracy"] == 0.75
    assert three["macro_f1"] == pytest.approx((1 + 1 + 2 / 3) / 3)


def test_every_metric_has_a_direction() -> None:
    assert set(HIGHER_IS_BETTER) == {name for names in METRIC_NAMES.values() for name in names}
    assert {name for name, higher in HIGHER_IS_BETTER.items() if not higher} == {
        "log_loss", "brier", "ece", "rmse", "mae", "mape", "interval_width", "pinball_loss",
    }  # fmt: skip
    assert all(main in METRIC_NAMES[task] for task, main in MAIN_METRIC.items())


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = np.mean(np.abs(np.random.default_rng(0).normal(0, 1, 1_000_000)))
    held = 0
    for seed in range(100):
        error = np.random.default_rng(seed + 1).normal(0, 1, 200)
        low, high = bootstrap_intervals(
            NUMBER, np.zeros(200), values(error), ["mae"], rounds=200, seed=seed
        )["mae"]
        held += low <= truth <= high
    assert 88 <= held <= 100


def test_intervals_are_seeded_hold_the_value_and_narrow_with_rows() -> None:
    widths = []
    for rows in (200, 5_000):
        y, p = coins(rows)
        first = bootstrap_intervals(BINARY, y, said(p))
        assert first == bootstrap_intervals(BINARY, y, said(p))
        assert first != bootstrap_intervals(BINARY, y, said(p), seed=1)
        for name, value in compute_metrics(BINARY, y, said(p)).items():
            assert first[name][0] <= value <= first[name][1], name
        widths.append(first["auc"][1] - first["auc"][0])
    assert widths[1] < widths[0] / 3
    assert list(bootstrap_intervals(BINARY, y, said(p), ["auc"])) == ["auc"]


def test_an_unknown_metric_is_refused_with_the_nearest() -> None:
    y, p = coins(20)
    with pytest.raises(ConfigurationError, match="Did you mean 'auc'"):
        bootstrap_intervals(BINARY, y, said(p), ["aux"])


def test_a_tie_differs_by_exactly_nothing() -> None:
    y, p = coins(300)
    found = paired_difference(BINARY, y, said(p), said(p), "auc")
    assert found is not None
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_pairing_finds_a_difference_that_single_intervals_hide() -> None:
    y, p = coins(2_000)
    worse = np.clip(p + np.random.default_rng(3).normal(0, 0.08, 2_000), 0.001, 0.999)
    found = paired_difference(BINARY, y, said(worse), said(p), "log_loss")
    assert found is not None
    assert found.low <= found.value <= found.high < 0  # worse: the improvement is negative
    single = [bootstrap_intervals(BINARY, y, said(each), ["log_loss"]) for each in (p, worse)]
    assert single[0]["log_loss"][1] > single[1]["log_loss"][0]
    back = paired_difference(BINARY, y, said(p), said(worse), "log_loss")
    assert back is not None
    assert back.value == pytest.approx(-found.value)


def test_an_undefined_difference_is_none() -> None:
    one = np.ones(10, dtype=np.int32)
    assert paired_difference(BINARY, one, said([0.5] * 10), said([0.6] * 10), "auc") is None
