import json
import math

import numpy as np
import pytest

from shipway.components.lib.calibration import (
    Calibrator,
    fit_calibrator,
    level_shift,
    log_loss,
)
from shipway.components.lib.task import Target

BINARY = Target("binary", ["no", "yes"], "yes")
MULTI = Target("multiclass", ["a", "b", "c"])


def binary(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Margins that mean what they say, and labels drawn by them."""
    draw = np.random.default_rng(seed)
    margins = draw.normal(scale=1.5, size=rows)
    return margins, (draw.random(rows) < 1 / (1 + np.exp(-margins))).astype(np.int32)


def several(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    margins = draw.normal(scale=1.5, size=(rows, 3))
    # The largest of margins with Gumbel noise is drawn with the softmax probabilities.
    return margins, (margins + draw.gumbel(size=margins.shape)).argmax(axis=1).astype(np.int32)


def test_margins_that_mean_what_they_say_are_left_alone() -> None:
    assert fit_calibrator(BINARY, *binary(8_000)) == Calibrator()
    assert fit_calibrator(MULTI, *several(3_000)) == Calibrator()


@pytest.mark.parametrize(("slope", "shift"), [(3.0, 0.0), (0.3, 0.0), (1.0, 1.5)])
def test_a_logistic_distortion_is_undone_by_platt(slope: float, shift: float) -> None:
    margins, y = binary(3_000)
    calibrator = fit_calibrator(BINARY, slope * margins + shift, y)
    assert calibrator.method == "platt"
    honest = Calibrator().apply(margins)
    assert np.abs(calibrator.apply(slope * margins + shift) - honest).max() < 0.05


def test_a_bent_distortion_is_undone_by_isotonic_when_there_are_enough_rows() -> None:
    draw = np.random.default_rng(0)
    margins = draw.uniform(-3, 3, 12_000)
    truth = np.where(margins < -1, 0.05, np.where(margins < 1, 0.5, 0.6))
    y = (draw.random(len(margins)) < truth).astype(np.int32)
    calibrator = fit_calibrator(BINARY, margins, y)
    assert calibrator.method == "isotonic"
    assert np.abs(calibrator.apply(margins)[:, 1] - truth).mean() < 0.03
    assert fit_calibrator(BINARY, margins[:3000], y[:3000]).method == "platt"


def test_overconfident_classes_are_cooled() -> None:
    margins, y = several(2_000)
    calibrator = fit_calibrator(MULTI, 3 * margins, y)
    assert calibrator.method == "temperature"
    assert calibrator.parameters == [pytest.approx(1 / 3, rel=0.1)]


def test_few_rows_and_regressions_are_left_alone() -> None:
    margins, y = binary(199)
    assert fit_calibrator(BINARY, 5 * margins, y) == Calibrator()
    assert fit_calibrator(Target("regression"), margins, y) == Calibrator()


def test_rows_of_one_class_are_no_failure() -> None:
    margins, _ = binary(1_000)
    calibrator = fit_calibrator(BINARY, margins, np.ones(1_000, np.int32))
    assert np.isfinite(calibrator.apply(margins)).all()


def test_a_coin_stays_a_coin() -> None:
    margins, _ = binary(6_000)
    y = np.random.default_rng(9).integers(0, 2, 6_000).astype(np.int32)
    probabilities = fit_calibrator(BINARY, margins, y).apply(margins)
    assert np.abs(probabilities - 0.5).max() < 0.06
    assert log_loss(probabilities, y).mean() == pytest.approx(math.log(2), abs=0.005)


def test_the_level_of_a_few_stretches_of_time_is_no_rule() -> None:
    margins, _ = binary(6_000)
    stretches = np.arange(6_000) // 200
    levels = np.random.default_rng(0).normal(size=30)
    levels += 0.3 - levels.mean()
    chance = 1 / (1 + np.exp(-margins - levels[stretches]))
    y = (np.random.default_rng(1).random(6_000) < chance).astype(np.int32)
    assert fit_calibrator(BINARY, margins, y).method == "platt"
    assert fit_calibrator(BINARY, margins, y, stretches) == Calibrator()
    # What holds in all of them is one, and one stretch alone proves nothing.
    assert fit_calibrator(BINARY, 3 * margins, y, stretches).method == "platt"
    assert fit_calibrator(BINARY, 3 * margins, y, np.zeros(6_000, np.int64)) == Calibrator()


@pytest.mark.parametrize(
    "calibrator",
    [
        Calibrator(),
        Calibrator("platt", [0.7, -0.3]),
        Calibrator("isotonic", [], [-1.3, 0.1, 2.7], [0.01, 0.37, 0.99]),
    ],
)
def test_a_shift_brings_probabilities_to_the_level_of_labels(calibrator: Calibrator) -> None:
    margins, _ = binary(2_000)
    y = (np.arange(2_000) % 5 == 0).astype(np.int32)
    shift = level_shift(calibrator, margins, y)
    shifted = calibrator.after(shift)
    np.testing.assert_allclose(shifted.apply(margins), calibrator.apply(margins + shift))
    assert shifted.apply(margins)[:, 1].mean() == pytest.approx(0.2)


def test_a_level_that_cannot_be_told_is_left() -> None:
    margins, y = binary(1_000)
    assert level_shift(Calibrator(), margins, np.ones(1_000)) == 0
    assert level_shift(Calibrator(), margins[:199], y[:199]) == 0
    bounded = Calibrator("isotonic", [], [-1.0, 1.0], [0.4, 0.6])
    assert level_shift(bounded, margins, (np.arange(1_000) % 5 == 0)) == 0


CALIBRATORS = [
    (Calibrator(), 1),
    (Calibrator("platt", [0.7, -0.3]), 1),
    (Calibrator("isotonic", [], [-1.3, 0.1, 2.7], [0.01, 0.37, 0.99]), 1),
    (Calibrator(), 3),
    (Calibrator("temperature", [0.37]), 3),
]


@pytest.mark.parametrize(("calibrator", "width"), CALIBRATORS)
def test_a_row_alone_is_as_in_a_batch_to_the_bit(calibrator: Calibrator, width: int) -> None:
    margins = np.random.default_rng(0).normal(scale=8, size=(999, width))
    margins[0], margins[1] = 1e6, -1e6
    margins = margins if width > 1 else margins[:, 0]
    batch = calibrator.apply(margins)
    read = Calibrator.from_json(json.loads(json.dumps(calibrator.to_json(), allow_nan=False)))
    assert read == calibrator
    single = np.vstack([read.apply(margins[i : i + 1]) for i in range(len(margins))])
    np.testing.assert_array_equal(batch.view(np.int64), single.view(np.int64))
    assert ((batch >= 0) & (batch <= 1)).all()
    np.testing.assert_allclose(batch.sum(axis=1), 1, atol=1e-12)
