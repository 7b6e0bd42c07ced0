"""Sections of the evaluation whose truth is planted: each must be told, and told in its size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.evaluate.cost import cost
from shipway.components.evaluate.flips import smallest_flips
from shipway.components.evaluate.intervals import interval_view
from shipway.components.evaluate.learning import learning_curve, told_by
from shipway.components.evaluate.logic import evaluate
from shipway.components.evaluate.robustness import robustness
from shipway.components.evaluate.samples import MAX_ROWS, taught_rows
from shipway.components.lib.held_out import HeldOut, score_held_out
from shipway.components.lib.metrics import Interval
from shipway.components.lib.model_package import ModelPackage, load_package
from shipway.components.lib.scoring import Prediction, Scorer
from shipway.components.lib.tables import write_table
from shipway.components.lib.task import Target
from tests.models import build, table, train_of

NUMBER = Target("regression")


def opened(model: Path, test: pa.Table, folder: Path) -> tuple[ModelPackage, Scorer, HeldOut]:
    """A package, its scorer, and the test rows as it sees them."""
    write_table(test, folder)
    package = load_package(model)
    return package, Scorer(package.booster, package.signature), score_held_out(package, folder)


@pytest.fixture(scope="module")
def lengths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that lives by one length and one name; another number tells nothing."""
    return build(tmp_path_factory.mktemp("lengths") / "model", cloth(1), golden=30)


def cloth(seed: int, rows: int = 1_500) -> pa.Table:
    draw = np.random.default_rng(seed)
    metres, idle = draw.uniform(1, 9, rows), draw.normal(size=rows)
    shop = draw.choice(["Bern", "Rome"], rows)
    price = 10 * metres + 30 * (shop == "Rome") + draw.normal(size=rows)
    return pa.table({"metres": metres, "idle": idle, "shop": shop, "label": price})


UNIT = "1,000 times as large (another unit)"


def test_a_mistaken_unit_and_a_misspelt_name_show_and_an_idle_column_does_not(
    lengths: Path, tmp_path: Path
) -> None:
    _, scorer, held = opened(lengths, cloth(2), tmp_path / "test")
    found = robustness(scorer, tmp_path / "test", held)
    drops = {(one["column"], one["kind"]): one["drop"] for one in found["disturbances"]}
    # All lengths beyond the last cut: every price is said to be that of about nine metres.
    assert drops["metres", UNIT] > 35
    assert drops["shop", "misspelt"] > 10
    assert abs(drops["idle", UNIT]) < 1
    assert abs(drops["idle", "missing"]) < 1
    assert found["disturbances"][0]["column"] == "metres"
    assert [one["drop"] for one in found["disturbances"]] == sorted(drops.values(), reverse=True)


def test_robustness_is_seeded(lengths: Path, tmp_path: Path) -> None:
    _, scorer, held = opened(lengths, cloth(2), tmp_path / "test")
    first, second, other = (robustness(scorer, tmp_path / "test", held, s) for s in (0, 0, 1))
    assert first == second != other


def learnt(rows: int, noise: float, kind: str, folder: Path) -> dict[str, Any]:
    """The learning curve of a problem on a table."""
    source, test = (hills(seed, n, noise, kind) for seed, n in ((1, rows), (2, 3_000)))
    package, scorer, held = opened(build(folder / "model", source), test, folder / "test")
    features = scorer.plan.transform_training(source)
    y = scorer.plan.target.encode(source["label"])
    return learning_curve(package, features, y, scorer.plan.transform(test), held)


def hills(seed: int, rows: int, noise: float, kind: str) -> pa.Table:
    """Of a step the first hundred rows tell all; of many hills every row tells of another."""
    draw = np.random.default_rng(seed)
    x, z = draw.uniform(0, 8, rows), draw.uniform(0, 8, rows)
    truth = (x > 4) if kind == "step" else np.sin(3 * x) * np.sin(3 * z)
    return pa.table({"x": x, "z": z, "label": truth + noise * draw.normal(size=rows)})


def test_a_problem_of_many_hills_wants_more_rows_and_a_step_does_not(tmp_path: Path) -> None:
    hilly = learnt(2_400, 0.05, "hills", tmp_path / "hills")
    assert hilly["says"] == "more"
    values = [point["value"] for point in hilly["points"]]
    assert values == sorted(values, reverse=True)
    assert [point["rows"] for point in hilly["points"]] == [600, 1_200, 2_400]
    assert hilly["doubling"]["value"] > 0.03
    step = learnt(2_400, 1.0, "step", tmp_path / "step")
    assert step["doubling"]["value"] < 0.03
    # A perfect model errs by one: nothing is left to be learnt.
    assert step["points"][-1]["value"] < 1.05


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.02, 0.015, 0.03), "more"),
        ((-0.002, -0.006, 0.002), "enough"),
        ((0.003, 0.001, 0.005), "enough"),  # surely a little
        ((-0.002, -0.1, 0.1), "unclear"),  # so few test rows tell nothing
    ],
)
def test_only_a_sure_trifle_says_that_there_are_rows_enough(
    ends: tuple[float, float, float], said: str
) -> None:
    assert told_by(Interval(*ends), 0.9) == said


def shifted(seed: int, rows: int, after: bool) -> pa.Table:
    """A price that hangs on the length, and after a change on the weight, which is more by then."""
    draw = np.random.default_rng(seed)
    length, weight = draw.normal(size=rows), draw.normal(size=rows) + 20 * after
    price = (weight if after else length) + 0.1 * draw.normal(size=rows)
    return pa.table({"length": length, "weight": weight, "label": price})


@pytest.mark.parametrize("refit", [True, False])
def test_baselines_and_curve_are_taught_by_the_rows_that_taught_the_model(
    refit: bool, tmp_path: Path
) -> None:
    model = build(tmp_path / "model", shifted(1, 600, False), refit=refit)
    for name, seed in (("validation", 2), ("test", 3)):
        write_table(shifted(seed, 600, True), tmp_path / name)
    evaluate(
        model, tmp_path / "test", tmp_path / "evaluation.json", tmp_path / "page.html",
        train=train_of(model), validation=tmp_path / "validation",
    )  # fmt: skip
    document = json.loads((tmp_path / "evaluation.json").read_text())
    assert (document["baselines"]["linear"]["rmse"] < 2) == refit
    assert (document["baselines"]["one_rule"]["rmse"] < 2) == refit
    last = document["learning_curve"]["points"][-1]
    assert last["rows"] == (1_200 if refit else 600)
    assert (last["value"] < 2) == refit
    words = "on training and validation rows" if refit else "on training rows"
    assert words in (tmp_path / "page.html").read_text()


def test_few_rows_have_no_learning_curve(tmp_path: Path) -> None:
    assert learnt(300, 0.1, "step", tmp_path) == {}


def test_cost_counts_bytes_trees_and_time(lengths: Path, tmp_path: Path) -> None:
    package, scorer, _ = opened(lengths, cloth(2, 50), tmp_path / "test")
    found = cost(package, scorer)
    files = [path for path in lengths.rglob("*") if path.is_file()]
    assert found["bytes"] == (lengths / "model.ubj").stat().st_size
    sizes = sum(path.stat().st_size for path in files if path.name != "manifest.json")
    assert found["package_bytes"] == sizes
    assert (found["trees"], found["rounds"], found["features"]) == (30, 30, 3)
    assert 0 < found["latency_ms_p50"] <= found["latency_ms_p95"] < 1_000
    classes = build(tmp_path / "classes", table(400, kind="multiclass"))
    package, scorer, _ = opened(classes, table(50, kind="multiclass"), tmp_path / "test2")
    found = cost(package, scorer)
    assert (found["trees"], found["rounds"]) == (90, 30)
    assert found["latency_ms_p50"] is None  # no golden rows to ask for


def fence(seed: int, rows: int = 1_000) -> pa.Table:
    """The answer is whether x is above 50; y and n tell nothing, and n is a whole number."""
    draw = np.random.default_rng(seed)
    x, n = draw.uniform(0, 100, rows), draw.integers(0, 9, rows)
    label = np.where(x > 50, "yes", "no")
    return pa.table({"x": x, "y": draw.normal(size=rows), "n": n, "label": label})


def flips_of(model: Path, test: pa.Table, folder: Path) -> tuple[dict[str, Any], Scorer]:
    package, scorer, held = opened(model, test, folder)
    known = scorer.plan.transform_training(fence(1))
    matrix = scorer.plan.transform(test)
    return smallest_flips(scorer, package.booster, known, matrix, held), scorer


def test_the_smallest_change_that_turns_an_answer_is_the_way_to_the_cut(tmp_path: Path) -> None:
    model, test = build(tmp_path / "model", fence(1)), fence(2)
    found, _ = flips_of(model, test, tmp_path / "test")
    assert found["moved"] is None
    assert found["columns"][0]["column"] == "x"
    # A twentieth of the 90 that the middle of x covers is 4.5 on either side: nine in a hundred.
    assert found["turned"]["low"] <= 0.09 <= found["turned"]["high"]
    assert found["columns"][0]["smallest"] == pytest.approx(25, abs=6)
    assert found == flips_of(model, test, tmp_path / "again")[0]
    for other in found["columns"][1:]:
        assert (other["turned"], other["smallest"]) == (0.0, None)


def test_a_change_keeps_whole_numbers_whole_and_to_the_range_of_training(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    n, x = draw.integers(0, 9, 1_000), draw.normal(size=1_000)
    source = pa.table({"n": n, "x": x, "label": np.where(n >= 4, "yes", "no")})
    package, scorer, held = opened(build(tmp_path / "model", source), source, tmp_path / "test")
    matrix = scorer.plan.transform(source)
    found = smallest_flips(scorer, package.booster, matrix, matrix, held)
    whole = next(one for one in found["columns"] if one["column"] == "n")
    assert whole["smallest"] == int(whole["smallest"])
    # Where training rows never went below the cut, no change within their range turns a row.
    above = matrix[matrix[:, 0] >= 5]
    found = smallest_flips(scorer, package.booster, above, matrix, held)
    assert all(one["smallest"] is None for one in found["columns"] if one["column"] == "n")


def test_the_move_of_a_regression_is_stated_and_measured(lengths: Path, tmp_path: Path) -> None:
    test = cloth(2)
    package, scorer, held = opened(lengths, test, tmp_path / "test")
    matrix = scorer.plan.transform(test)
    found = smallest_flips(scorer, package.booster, matrix, matrix, held)
    assert held.prediction.values is not None
    assert found["moved"] == pytest.approx(np.std(held.prediction.values) / 2)
    metres = next(one for one in found["columns"] if one["column"] == "metres")
    assert metres["smallest"] == pytest.approx(found["moved"] / 10, rel=0.35)
    assert found["turned"]["value"] == 0


@pytest.mark.parametrize("cities", [6, 60])
def test_another_category_turns_an_answer_where_it_decides(cities: int, tmp_path: Path) -> None:
    """Below 0 of x the city decides, every other one for yes; above it nothing does."""
    draw = np.random.default_rng(0)
    code, x = draw.integers(0, cities, 3_000), draw.uniform(-1, 1, 3_000)
    label = np.where((x < 0) & (code % 2 == 0), "yes", "no")
    city = np.array([f"c{each}" for each in code])
    source = pa.table({"city": city, "idle": city[::-1], "x": x, "label": label})
    package, scorer, held = opened(build(tmp_path / "model", source), source, tmp_path / "test")
    matrix = scorer.plan.transform(source)
    found = smallest_flips(scorer, package.booster, matrix, matrix, held)
    by_name = {one["column"]: one for one in found["columns"]}
    assert by_name["city"]["categories"] == min(cities, 8)
    assert by_name["city"]["turned"] == pytest.approx(0.5, abs=0.1)
    assert found["swapped"]["low"] <= 0.5 <= found["swapped"]["high"]
    assert by_name.get("idle", {"turned": 0.0})["turned"] < 0.05
    assert by_name["x"]["categories"] is None


def test_without_numbers_categories_alone_are_tried(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    city = draw.choice(["Bern", "Rome"], 300)
    source = pa.table({"city": city, "label": np.where(city == "Rome", "yes", "no")})
    package, scorer, held = opened(build(tmp_path / "model", source), source, tmp_path / "test")
    matrix = scorer.plan.transform(source)
    found = smallest_flips(scorer, package.booster, matrix, matrix, held)
    assert (found["turned"], found["swapped"]["value"]) == (None, 1.0)
    assert smallest_flips(scorer, package.booster, matrix, matrix[:10], held) == {}


def banded(spread: float, promised: float = 0.9, rows: int = 2_000) -> HeldOut:
    """Normal errors whose deviation grows with the value, and bands as wide as if it were 1."""
    draw = np.random.default_rng(0)
    values = draw.uniform(0, 10, rows)
    wide = 1.6448536
    interval = np.stack([values - wide, values + wide], axis=1)
    y = values + draw.normal(size=rows) * spread
    return HeldOut(NUMBER, y, Prediction(None, None, values, interval, promised), {})


@pytest.mark.parametrize(
    ("spread", "says"), [(1.0, "holds"), (1.5, "too narrow"), (0.5, "too wide")]
)
def test_intervals_are_held_to_their_promise(spread: float, says: str) -> None:
    found = interval_view(banded(spread))
    assert found["says"] == says
    assert found["width"] == pytest.approx(2 * 1.6448536)
    assert len(found["parts"]) == 5
    assert found["spread"] > 8


def test_a_promise_that_is_kept_on_the_whole_and_broken_in_a_part_is_told() -> None:
    held = banded(1.0)
    values = held.prediction.values
    assert values is not None
    y = values + (held.y - values) * np.where(values > 8, 2.0, 0.82)
    found = interval_view(HeldOut(NUMBER, y, held.prediction, {}))
    assert found["parts"][-1]["says"] == "too narrow"
    assert found["parts"][-1]["coverage"] < 0.75
    assert {part["says"] for part in found["parts"][:3]} <= {"too wide", "holds"}


def test_a_model_without_intervals_has_no_such_section() -> None:
    assert interval_view(HeldOut(NUMBER, np.zeros(3), Prediction(values=np.zeros(3)), {})) == {}


def test_a_large_sample_holds_the_splits_in_their_shares(tmp_path: Path) -> None:
    plan = opened(build(tmp_path / "model", cloth(1)), cloth(2), tmp_path / "test")[1].plan
    for name, rows in (("train", 30_000), ("validation", 10_000)):
        write_table(cloth(3, rows), tmp_path / name)
    taught = taught_rows(plan, [tmp_path / "train", tmp_path / "validation"], seed=0)
    alone = taught_rows(plan, [tmp_path / "train"], seed=0)
    assert len(taught.y) == len(taught.matrix) == pytest.approx(MAX_ROWS, rel=0.03)
    assert len(alone.y) == pytest.approx(MAX_ROWS, rel=0.03)
    assert taught.splits == "training and validation" and alone.splits == "training"
