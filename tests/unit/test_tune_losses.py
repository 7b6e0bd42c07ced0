"""The losses that trials are compared by, and which of the best is taken."""

import math

import numpy as np
import pytest
import xgboost as xgb

from shipway.components.lib.losses import mean, mean_error, row_losses, shown
from shipway.components.lib.parameters import settings_for
from shipway.components.lib.task import Target
from shipway.components.tune.choice import Finalist, smallest_of_the_best
from shipway.components.tune.trials import Result

OBJECTIVES = ["squared", "absolute", "quantile", "poisson", "tweedie", "gamma"]


@pytest.mark.parametrize("objective", ["binary", "multiclass", *OBJECTIVES])
def test_row_losses_average_to_what_xgboost_says(objective: str) -> None:
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(400, 3)).astype(np.float32)
    if objective in OBJECTIVES:
        target, name = Target("regression"), objective
        y = np.exp(matrix[:, 0] + draw.normal(scale=0.3, size=400)).astype(np.float32)
    else:
        classes = ["a", "b"] if objective == "binary" else ["a", "b", "c"]
        target, name = Target(objective, classes), "auto"
        y = np.digitize(matrix[:, 0], [0.0, 0.8][: len(classes) - 1])
    weights = draw.uniform(0.5, 2.0, 400)
    settings = settings_for(target, 400, {"nthread": 1.0, "eta": 0.3}, 0, name)
    rows = xgb.QuantileDMatrix(matrix, y, weight=weights, max_bin=settings.booster["max_bin"])
    said: dict = {}
    booster = xgb.train(settings.booster, rows, 8, [(rows, "t")], evals_result=said, verbose_eval=0)
    losses = row_losses(settings.booster, booster.predict(rows, output_margin=True), y)
    ours = shown(settings.booster, mean(losses, weights))
    theirs = next(iter(said["t"].values()))[-1]
    if objective == "poisson":  # theirs adds the logarithm of the label's factorial
        theirs -= float(np.average([math.lgamma(value + 1) for value in y], weights=weights))
    if objective == "gamma":
        return  # theirs knows a dispersion; ours is its part that margins change, tested below
    assert ours == pytest.approx(theirs, rel=2e-5)


def test_the_loss_of_gamma_is_least_at_the_truth() -> None:
    y = np.array([0.5, 1.0, 4.0])
    booster = {"objective": "reg:gamma"}
    at = {shift: row_losses(booster, np.log(y) + shift, y).sum() for shift in (-0.1, 0.0, 0.1)}
    assert at[0.0] == min(at.values())


def finalist(name: str, losses: np.ndarray, leaves: int) -> Finalist:
    result = Result(float(losses.mean()), 0.0, losses, None, 10, leaves, 1.0)
    return Finalist(name, {} if name == "defaults" else {"max_depth": 3.0}, result)


def test_of_the_best_within_a_standard_error_the_smallest_is_taken() -> None:
    hard = np.random.default_rng(0).exponential(size=1_000)  # what is hard for all alike
    noise = np.random.default_rng(1).normal(scale=0.1, size=1_000)
    noise -= noise.mean()
    best = finalist("best", hard, 900)
    tied = finalist("tied", hard + noise + 0.002, 300)  # its error is 0.0032
    worse = finalist("worse", hard + noise + 0.005, 30)
    assert smallest_of_the_best([best, tied, worse]) is tied
    assert smallest_of_the_best([best, worse]) is best


def noise_around(shift: float, seed: int) -> np.ndarray:
    """Differences of that mean, whose standard error is 0.0032."""
    noise = np.random.default_rng(seed).normal(scale=0.1, size=1_000)
    return shift + noise - noise.mean()


@pytest.mark.parametrize(
    ("shift", "in_time", "taken"),
    [
        (0.002, False, "defaults"),
        (0.005, False, "small"),
        (0.005, True, "defaults"),  # the next stretch of time may be another
        (0.009, True, "small"),
    ],
)
def test_the_defaults_stand_where_the_best_does_not_surely_beat_them(
    shift: float, in_time: bool, taken: str
) -> None:
    hard = np.random.default_rng(0).exponential(size=1_000)
    best, small = finalist("best", hard, 300), finalist("small", hard + 0.0, 30)
    defaults = finalist("defaults", hard + noise_around(shift, 1), 900)
    assert smallest_of_the_best([best, defaults, small], in_time).name == taken


def test_a_smaller_model_may_not_give_away_what_tuning_bought() -> None:
    hard = np.random.default_rng(0).exponential(size=1_000)
    defaults = finalist("defaults", hard + noise_around(0.004, 1), 900)
    small = finalist("small", hard + noise_around(0.003, 2), 30)  # nearly as good as the best
    best = finalist("best", hard, 300)
    assert smallest_of_the_best([best, small]) is small
    assert smallest_of_the_best([best, small, defaults]) is best


def test_the_error_of_a_mean_knows_that_rows_of_one_day_go_together() -> None:
    draw = np.random.default_rng(0)
    days = np.repeat(np.arange(40), 50)
    weights = draw.uniform(0.5, 2.0, len(days))
    means, alone, together = [], [], []
    for _ in range(400):
        values = draw.normal(size=40)[days] + draw.normal(size=len(days))
        means.append(mean(values, weights))
        alone.append(mean_error(values, weights))
        together.append(mean_error(values, weights, days))
    assert np.mean(together) == pytest.approx(np.std(means), rel=0.1)
    assert np.mean(alone) < np.std(means) / 3
    assert mean_error(values, None, np.arange(len(days))) == mean_error(values, None)
