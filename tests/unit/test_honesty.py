"""What an honest evaluation must show: each case plants a truth and asks whether it is told."""

import json
import logging
import os
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.evaluate.baselines import fit_baselines
from shipway.components.evaluate.calibration import calibration_test
from shipway.components.evaluate.fairness import fairness
from shipway.components.evaluate.ranking import lift_table, threshold_table
from shipway.components.evaluate.regions import find_regions
from shipway.components.evaluate.residuals import residual_views
from shipway.components.evaluate.stability import stability
from shipway.components.lib.delong import area_interval
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.metrics import (
    bootstrap_intervals,
    paired_difference,
    paired_differences,
)
from shipway.components.lib.proportions import difference, ratio, share
from shipway.components.lib.scoring import Prediction
from shipway.components.lib.slices import Slice, measure_slices
from shipway.components.lib.tables import write_table
from shipway.components.lib.task import Target

BINARY = Target("binary", ["no", "yes"], "yes")
NUMBER = Target("regression")
# The full number is asked for by hand; the default finds gross mistakes in seconds.
SIMULATIONS = int(os.environ.get("SHIPWAY_SIMULATIONS", "100"))


def held(y: np.ndarray, p: np.ndarray) -> HeldOut:
    labels = (p >= 0.5).astype(np.int32)
    return HeldOut(BINARY, y.astype(np.int32), Prediction(np.stack([1 - p, p], 1), labels), {})


def coin(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Labels drawn by their very probabilities."""
    draw = np.random.default_rng(seed)
    p = draw.uniform(0.05, 0.95, rows)
    return (draw.random(rows) < p).astype(np.int32), p, draw


def assert_rate(hits: int, what: str, short: float = 0.0) -> None:
    """Four standard errors of the simulation are allowed, and what few rows and rounds cost."""
    logging.getLogger(__name__).info("%s: %d of %d", what, hits, SIMULATIONS)
    wide = 4 * np.sqrt(0.95 * 0.05 / SIMULATIONS)
    assert 0.95 - wide - short <= hits / SIMULATIONS <= 1.0


@pytest.mark.parametrize(("rows", "shift"), [(80, 0.5), (300, 1.5)])
def test_intervals_of_auc_hold_the_truth_at_their_rate(rows: int, shift: float) -> None:
    truth = NormalDist().cdf(shift / np.sqrt(2))
    hits = 0
    for seed in range(SIMULATIONS):
        draw = np.random.default_rng(seed)
        y = (draw.random(rows) < 0.3).astype(int)
        found = area_interval(y, draw.normal(shift * y))
        assert found is not None
        hits += found[1] <= truth <= found[2]
    assert_rate(hits, f"AUC of {rows} rows by DeLong")


@pytest.mark.parametrize(("rows", "sharp", "short"), [(400, 1.0, 0.0), (100, 0.1, 0.03)])
def test_intervals_of_a_mean_hold_the_truth_at_their_rate(
    rows: int, sharp: float, short: float
) -> None:
    """Probabilities that are right; the sharp ones are nearly sure, so that few rows cost much."""

    def drawn(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        draw = np.random.default_rng(seed)
        p = draw.beta(sharp, sharp, rows).clip(0.001, 0.999)
        return (draw.random(rows) < p).astype(np.int32), p

    _, p = drawn(1_000_000, 0)
    truth = float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())
    hits = 0
    for seed in range(SIMULATIONS):
        y, p = drawn(rows, seed + 1)
        found = bootstrap_intervals(BINARY, y, held(y, p).prediction, ["log_loss"])["log_loss"]
        hits += found[0] <= truth <= found[1]
    assert_rate(hits, f"log loss of {rows} rows", short)


@pytest.mark.parametrize(
    ("metric", "rows", "truth"), [("mae", 300, 0.1 * np.sqrt(2 / np.pi)), ("rmse", 150, 0.1)]
)
def test_differences_of_two_models_hold_the_truth_at_their_rate(
    metric: str, rows: int, truth: float
) -> None:
    """Normal errors of a deviation of 1 and of 1.1, on the same rows."""
    hits = 0
    for seed in range(SIMULATIONS):
        draw = np.random.default_rng(seed)
        y, other = draw.normal(size=rows), draw.normal(size=rows)
        worse = Prediction(values=y + 1.1 * (0.8 * y + 0.6 * other))
        found = paired_difference(NUMBER, y, Prediction(values=np.zeros(rows)), worse, metric)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert_rate(hits, f"paired difference of {metric} of {rows} rows")


def test_intervals_of_slices_hold_the_truth_at_their_rate() -> None:
    """A third of the rows, of which the model errs by a deviation of 2; all others by 1."""
    hits = {"deviation": 0, "area": 0}
    area = NormalDist().cdf(1 / np.sqrt(2))
    for seed in range(SIMULATIONS):
        draw = np.random.default_rng(seed)
        inside = np.arange(450) % 3 == 0
        y = np.where(inside, 2.0, 1.0) * draw.normal(size=450)
        still = Prediction(values=np.zeros(450))
        part = measure_slices([Slice("part", inside)], HeldOut(NUMBER, y, still, {}), still)[0]
        hits["deviation"] += part["interval"][0] <= 2 <= part["interval"][1]
        label = (draw.random(450) < 0.4).astype(int)
        scored = held(label, 1 / (1 + np.exp(-draw.normal(label))))
        flat = held(label, np.full(450, 0.4)).prediction
        part = measure_slices([Slice("part", inside)], scored, flat)[0]
        hits["area"] += part["interval"][0] <= area <= part["interval"][1]
    assert_rate(hits["deviation"], "RMSE of a slice of 150 rows")
    assert_rate(hits["area"], "AUC of a slice of 150 rows by DeLong")


def test_the_interval_of_a_coverage_holds_the_truth_at_its_rate() -> None:
    hits = 0
    for seed in range(SIMULATIONS):
        y = np.random.default_rng(seed).uniform(0, 1, 200)
        bands = Prediction(values=y * 0, interval=np.tile([0.0, 0.9], (200, 1)), coverage=0.9)
        low, high = bootstrap_intervals(NUMBER, y, bands, ["interval_coverage"])[
            "interval_coverage"
        ]
        hits += low <= 0.9 <= high
    assert_rate(hits, "coverage of 200 rows by Wilson")


def test_intervals_of_shares_and_their_gaps_hold_the_truth_at_their_rate() -> None:
    """Of shares as they come: a rate for one of them depends on how it falls between counts."""
    draw = np.random.default_rng(0)
    shares = gaps = ratios = 0
    for _ in range(SIMULATIONS):
        p, q = draw.uniform(0.1, 0.9, 2)
        one, other = share(draw.binomial(60, p), 60), share(draw.binomial(90, q), 90)
        shares += one.low <= p <= one.high
        gaps += difference(one, other)[1] <= p - q <= difference(one, other)[2]
        found = ratio(one, other)
        ratios += found is not None and found[1] <= p / q <= found[2]
    for hits, what in ((shares, "share"), (gaps, "difference"), (ratios, "ratio")):
        assert_rate(hits, f"{what} of 60 and 90 rows")


def test_a_clean_cut_of_few_rows_is_not_certain() -> None:
    y = np.array([0] * 20 + [1] * 5)
    found = area_interval(y, y.astype(float))
    assert found is not None
    assert found[0] == 1.0
    assert 0.4 < found[1] < 0.9
    assert area_interval(np.array([0, 0, 1]), np.arange(3.0)) is None


def test_a_calibrated_coin_is_called_calibrated_and_a_bold_one_is_not() -> None:
    y, p, _ = coin(3_000, 1)
    assert calibration_test(held(y, p))["p"] > 0.05
    bold = 1 / (1 + np.exp(-2.5 * np.log(p / (1 - p))))
    found = calibration_test(held(y, bold))
    assert found["p"] < 0.01
    assert found["ece"] > found["by_chance"]


def test_calibration_is_doubted_as_often_as_it_says() -> None:
    doubted = sum(
        calibration_test(held(*coin(300, seed)[:2]), seed=seed)["p"] <= 0.05 for seed in range(30)
    )
    assert doubted <= 6


def planted(rows: int = 4_000, wrong: float = 0.5) -> tuple[pa.Table, HeldOut]:
    """Where city is Rome and age is above 60, a share of the labels is turned round."""
    draw = np.random.default_rng(3)
    city, age = draw.choice(["Bern", "Rome", "Oslo"], rows), draw.uniform(20, 80, rows)
    y, p, _ = coin(rows, 5)
    weak = (city == "Rome") & (age > 60)
    y = np.where(weak & (draw.random(rows) < wrong), 1 - y, y)
    noise = draw.normal(size=rows)
    return pa.table({"city": city, "age": age, "noise": noise, "label": y}), held(y, p)


def test_a_planted_weak_slice_is_found_by_its_own_columns(tmp_path: Path) -> None:
    table, scored = planted()
    write_table(table, tmp_path / "test")
    found = find_regions(tmp_path / "test", "label", scored)
    worst = found["regions"][0]
    assert "city = Rome" in worst.part.name
    assert "age" in worst.part.name
    assert worst.evidence["p_adjusted"] < 0.001
    rows = worst.part.rows
    city, age = np.array(table["city"].to_pylist()), table["age"].to_numpy()
    assert ((city == "Rome") & (age > 57))[rows].mean() > 0.95


def test_where_nothing_is_planted_little_is_found(tmp_path: Path) -> None:
    found = 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        y, p, _ = coin(600, seed)
        p = np.full(600, 0.5)  # the same loss everywhere, but for the label
        table = pa.table({"a": draw.normal(size=600), "b": draw.normal(size=600), "label": y})
        scored = held((draw.random(600) < 0.5).astype(int), p + 0.2 * (draw.random(600) - 0.5))
        write_table(table, tmp_path / str(seed))
        found += bool(find_regions(tmp_path / str(seed), "label", scored)["regions"])
    assert found <= 4


@pytest.mark.parametrize("gap", [0.0, 0.2])
def test_a_planted_bias_is_told_with_its_size(gap: float, tmp_path: Path) -> None:
    draw, rows = np.random.default_rng(1), 6_000
    group = draw.choice(["a", "b", "c"], rows, p=[0.6, 0.395, 0.005])
    y = (draw.random(rows) < 0.5).astype(np.int32)
    picked = draw.random(rows) < np.where(group == "b", 0.6 - gap, 0.6)
    write_table(pa.table({"group": group, "label": y}), tmp_path / "test")
    scored = held(y, picked.astype(float))
    found = fairness(tmp_path / "test", "label", ["group"], scored, ["group"])[0]
    assert found["reference"] == "group=a"
    gaps = {(g["group"], g["rate"]): g for g in found["gaps"]}
    told = gaps["group=b", "selection_rate"]
    assert told["difference"]["low"] <= -gap <= told["difference"]["high"]
    assert (told["difference"]["high"] < 0) == (gap > 0)
    assert told["ratio"]["value"] == pytest.approx((0.6 - gap) / 0.6, abs=0.05)
    assert not gaps["group=c", "selection_rate"]["judged"] or (group == "c").sum() >= 30
    if gap:
        assert found["worst"]["selection_rate"]["difference"]["group"] == "group=b"


@pytest.mark.parametrize("nobody", ["b", "a"])
def test_a_group_of_which_nobody_is_picked_is_the_worst(nobody: str, tmp_path: Path) -> None:
    group = np.repeat(["a", "b", "c"], [500, 400, 300])
    y, picked = np.tile([0, 1], 600), (np.arange(1_200) % 4 < 2) & (group != nobody)
    write_table(pa.table({"group": group, "label": y}), tmp_path / "test")
    (found,) = fairness(tmp_path / "test", "label", ["group"], held(y, picked.astype(float)), [])
    assert found["reference"] == "group=a"
    assert found["worst"]["selection_rate"]["ratio"]["value"] == 0.0
    json.dumps(found, allow_nan=False)


def test_a_group_of_few_rows_is_shown_and_not_judged(tmp_path: Path) -> None:
    y, p, _ = coin(500)
    group = np.array(["a"] * 490 + ["b"] * 10)
    write_table(pa.table({"group": group, "label": y}), tmp_path / "test")
    found = fairness(tmp_path / "test", "label", ["group"], held(y, p), [])[0]
    assert [g["n"] for g in found["groups"]] == [490, 10]
    assert not any(gap["judged"] for gap in found["gaps"])
    assert found["worst"] == {}
    assert not found["used"]
    with pytest.raises(ConfigurationError, match=r"'grp'.*Did you mean 'group'"):
        fairness(tmp_path / "test", "label", ["grp"], held(y, p), [])


def test_one_rule_is_learnt_of_a_table_that_is_sorted_by_its_label() -> None:
    x = np.repeat([0.0, 1.0], 6_000) + np.random.default_rng(0).normal(scale=0.3, size=12_000)
    rows = pa.table({"x": x, "label": np.repeat(["no", "yes"], 6_000)})
    plan = fit_plan(rows, "label", BINARY)
    features, y = plan.transform(rows), plan.target.encode(rows["label"])
    said = fit_baselines(plan, features, y, features)["one_rule"].prediction
    assert (said.labels == y).mean() > 0.9


def test_lift_and_thresholds_by_hand() -> None:
    truth = np.array([1] * 10 + [0] * 90)
    score = np.linspace(1, 0, 100)
    first = lift_table(truth, score)[0]
    assert (first["lift"], first["gain"], first["rate"]) == (10, 1, 1)
    chosen = next(row for row in threshold_table(truth, score, 0.42) if row["chosen"])
    assert chosen["recall"] == 1
    assert chosen["precision"] == pytest.approx(10 / 58)
    assert lift_table(np.zeros(50, dtype=int), score[:50]) == []


def test_rows_of_one_score_have_no_lift_whatever_their_order() -> None:
    truth = np.repeat([1, 0], [2_000, 8_000])
    assert all(0.8 < row["lift"] < 1.2 for row in lift_table(truth, np.full(10_000, 0.2)))


def test_a_bias_in_a_range_of_a_column_is_found() -> None:
    y, p, draw = coin(4_000)
    x = draw.normal(size=4_000)
    table = pa.table({"x": x, "z": draw.normal(size=4_000), "label": y})
    plan: FeaturePlan = fit_plan(table, "label", BINARY_CODES)
    shifted = np.clip(np.where(x > 1, p - 0.15, p), 0.01, 0.99)
    views = residual_views(plan, plan.transform(table), held(y, shifted))
    first = views["by_feature"][0]
    assert first["feature"] == "x"
    assert first["beyond_chance"]
    assert first["bias"] > 0.05
    calm = residual_views(plan, plan.transform(table), held(y, p))
    assert not any(view["beyond_chance"] for view in calm["by_feature"])


BINARY_CODES = Target("binary", [0, 1], 1)


@pytest.mark.parametrize("kind", ["timestamp", "text", "number"])
def test_a_model_that_wears_off_is_told(kind: str, tmp_path: Path) -> None:
    y, p, draw = coin(3_000)
    late = np.arange(3_000) >= 1_500
    y = np.where(late, draw.integers(0, 2, 3_000), y)
    moments = np.datetime64("2024-01-01", "s") + np.arange(3_000) * np.timedelta64(3600, "s")
    when: Any = {"timestamp": moments, "text": moments.astype(str), "number": np.arange(3_000)}[
        kind
    ]
    order = draw.permutation(3_000)
    write_table(pa.table({"when": when, "label": y}).take(order), tmp_path / "test")
    found = stability(tmp_path / "test", "when", held(y[order], p[order]))
    assert found["wear"]["low"] > 0.2
    assert len(found["periods"]) == 6
    assert found["periods"][0]["low"] > found["periods"][-1]["high"]
    assert stability(tmp_path / "test", "", held(y, p)) == {}


@pytest.mark.parametrize(("growth", "wears"), [(1.0, False), (1.5, True)])
def test_wear_of_an_error_is_its_growth(growth: float, wears: bool, tmp_path: Path) -> None:
    write_table(pa.table({"when": np.arange(2_000)}), tmp_path / "test")
    noise = np.random.default_rng(5).normal(size=2_000) * np.repeat([1.0, growth], 1_000)
    shown = HeldOut(Target("regression"), noise, Prediction(values=np.zeros(2_000)), {})
    wear = stability(tmp_path / "test", "when", shown)["wear"]
    assert wear["low"] < growth - 1 < wear["high"]
    assert (wear["low"] > 0) == wears


def test_differences_from_baselines_are_paired() -> None:
    y, p, _ = coin(500)
    mine = held(y, p).prediction
    found = paired_differences(BINARY, y, mine, {"same": mine, "turned": held(y, 1 - p).prediction})
    assert found["same"]["auc"].low == found["same"]["auc"].high == 0
    assert found["turned"]["auc"].low > 0
    assert found["turned"]["log_loss"].low > 0
