import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.features.logic import fit
from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.model_package import check_golden, load_package
from shipway.components.lib.parameters import SMALL, few_threads, settings_for
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.tables import write_table
from shipway.components.lib.task import Target
from shipway.components.train.logic import Trained, train
from shipway.components.train.request import Request
from shipway.components.train.threshold import best_threshold

QUICK = {"num_boost_round": 40.0, "early_stopping_rounds": 5.0, "eta": 0.2, "nthread": 1.0}
LABELS = ("text", "boolean", "codes", "three", "three codes", "value")


def table(label: str, rows: int, seed: int) -> pa.Table:
    """Rows that lack "x" now and then, and never "city"; many values of "shop"."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=rows)
    city = draw.choice(["Zürich", "Bern", "Genève"], rows)
    score = x + (city == "Bern") + draw.normal(size=rows)
    bands = np.digitize(score, [-0.5, 1.0])
    labels = {
        "text": np.where(score > 0, "yes", "no"),
        "boolean": score > 0,
        "codes": (score > 0).astype(int),
        "three": np.array(["low", "mid", "top"])[bands],
        "three codes": bands + 1,
        "value": 100 + 20 * score,
    }
    columns = {
        "x": [None if i % 10 == 3 else float(v) for i, v in enumerate(x)],
        "city": city,
        "shop": [f"shop {i}" for i in draw.integers(0, 60, rows)],
        "label": labels[label],
    }
    return pa.table(columns)


@dataclass
class Place:
    """Where one training reads and writes."""

    path: Path

    def train(self, name: str = "model", seed: int = 0, **parameters: float) -> Trained:
        inputs = self.path / "train", self.path / "validation", self.path / "plan"
        outputs = self.path / name, self.path / f"{name}.html"
        return train(*inputs, *outputs, Request("churn", {**QUICK, **parameters}, seed))


def place(path: Path, label: str = "text") -> Place:
    write_table(table(label, 900, 0), path / "train")
    write_table(table(label, 400, 1), path / "validation")
    fit(path / "train", "label", path / "plan", path / "features.html")
    return Place(path)


@pytest.mark.parametrize(("asked", "threads"), [({}, [1, 1]), ({"nthread": 2.0}, [2, 2])])
def test_a_small_table_trains_on_one_thread_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict, threads: list[int]
) -> None:
    found, learn = [], xgb.train

    def spy(parameters: dict, *rest: object, **more: object) -> xgb.Booster:
        found.append(parameters["nthread"])
        return learn(parameters, *rest, **more)

    monkeypatch.setattr(xgb, "train", spy)
    monkeypatch.delitem(QUICK, "nthread")
    place(tmp_path).train(**asked)
    assert found == threads  # and again on all rows
    assert few_threads(SMALL) == {}


@pytest.mark.parametrize("label", LABELS)
def test_every_kind_of_label_becomes_a_whole_package(tmp_path: Path, label: str) -> None:
    here = place(tmp_path, label)
    result = here.train()
    package = load_package(tmp_path / "model")
    assert result.metadata["digest"] == package.digest
    assert all(math.isfinite(value) for value in result.metrics.values())
    assert all(isinstance(value, (str, float)) for value in result.metadata.values())
    assert check_golden(package) <= 1e-6
    classes = {
        "text": ["no", "yes"], "boolean": [False, True], "codes": [0, 1],
        "three": ["low", "mid", "top"], "three codes": [1, 2, 3], "value": [],
    }  # fmt: skip
    assert package.signature.classes == classes[label]
    assert (package.signature.threshold is None) == (len(classes[label]) != 2)
    answers = package.golden["outputs"]
    if label != "value":
        assert {answer["label"] for answer in answers} <= set(classes[label])
        assert set(answers[0]["probabilities"]) == {str(value) for value in classes[label]}
    page = (tmp_path / "model.html").read_text(encoding="utf-8")
    assert "Learning curves" in page
    assert len(page.encode()) < 1_000_000
    scorer = Scorer(package.booster, package.signature)
    prediction = scorer.score_table(table(label, 400, 2))
    if prediction.values is not None:
        assert np.corrcoef(prediction.values, table(label, 400, 2)["label"])[0, 1] > 0.5
    else:
        codes = scorer.plan.target.encode(table(label, 400, 2)["label"])
        assert prediction.labels is not None
        assert (prediction.labels == codes).mean() > 1.3 / len(classes[label])


def test_golden_rows_are_null_only_where_training_was(tmp_path: Path) -> None:
    here = place(tmp_path)
    # The endpoint would refuse a row without its city: no such row may prove it.
    held_out = table("text", 400, 1)
    city = pa.array([None if i % 3 == 0 else v.as_py() for i, v in enumerate(held_out["city"])])
    write_table(held_out.set_column(1, "city", city), tmp_path / "validation")
    here.train()
    rows = load_package(tmp_path / "model").golden["rows"]
    assert 8 <= len(rows) <= 32
    assert any(row["x"] is None for row in rows)
    assert all(row["city"] is not None for row in rows)
    assert all(list(row) == ["city", "shop", "x"] for row in rows)


def test_validation_rows_that_prove_nothing_are_an_error(tmp_path: Path) -> None:
    here = place(tmp_path)
    held_out = table("text", 400, 1).set_column(1, "city", pa.nulls(400, pa.string()))
    write_table(held_out, tmp_path / "validation")
    with pytest.raises(DataError, match="Every validation row lacks"):
        here.train()
    assert not (tmp_path / "model").exists()


def test_one_seed_gives_one_model_to_the_byte(tmp_path: Path) -> None:
    here = place(tmp_path)
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        here.train(name, seed)
    one, same, other = (
        (tmp_path / name / "model.ubj").read_bytes() for name in ("one", "same", "other")
    )
    assert one == same != other
    for file in ("signature.json", "golden.json", "baseline/features.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "same" / file).read_bytes()


def test_the_booster_is_cut_at_its_best_round(tmp_path: Path) -> None:
    here = place(tmp_path)
    stopped = here.train("stopped", num_boost_round=400.0, eta=0.5)
    rounds = load_package(tmp_path / "stopped").booster.num_boosted_rounds()
    assert rounds == stopped.metrics["rounds"] < 60
    # The same training, told to make so many rounds and no more, gives the same trees.
    exact = here.train("exact", num_boost_round=float(rounds), eta=0.5)
    assert exact.metrics["rounds"] == rounds
    assert exact.metrics["log_loss"] == stopped.metrics["log_loss"]
    trees = [load_package(tmp_path / n).booster.get_dump() for n in ("stopped", "exact")]
    assert trees[0] == trees[1]
    longer = here.train("longer", num_boost_round=rounds + 2.0, eta=0.5)
    assert longer.metrics["rounds"] == rounds


def test_an_unknown_parameter_is_named_with_the_nearest(tmp_path: Path) -> None:
    here = place(tmp_path)
    with pytest.raises(ConfigurationError, match=r"'max_dept'.*'max_depth'"):
        here.train(max_dept=3.0)
    assert not (tmp_path / "model").exists()


def test_parameters_are_taken_in_their_type() -> None:
    settings = settings_for(Target("regression"), 100, {"max_depth": 5.0, "learning_rate": 1}, 3)
    assert settings.booster["max_depth"] == 5
    assert isinstance(settings.booster["max_depth"], int)
    assert settings.booster["eta"] == 1.0
    assert settings.booster["seed"] == 3
    assert settings_for(Target("regression"), 100, {"num_boost_round": 7.0}, 0).rounds == 7


@pytest.mark.parametrize("value", [2.5, math.nan, math.inf, True, "3"])
def test_a_count_that_is_not_whole_is_refused(value: float) -> None:
    with pytest.raises(ConfigurationError, match="'max_depth' must be"):
        settings_for(Target("regression"), 100, {"max_depth": value}, 0)


@pytest.mark.parametrize("name", ["num_boost_round", "early_stopping_rounds"])
def test_no_round_at_all_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}' must be 1 or more, not 0"):
        settings_for(Target("regression"), 100, {name: 0.0}, 0)


def test_a_parameter_that_is_set_by_two_names_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="sets 'eta' twice, once as 'learning_rate'"):
        settings_for(Target("regression"), 100, {"eta": 0.1, "learning_rate": 0.2}, 0)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("interval_coverage", "regression"),
        ("tweedie_variance_power", "regression"),
        ("balance_classes", "regression"),
        ("scale_pos_weight", "regression"),
        ("scale_pos_weight", "multiclass"),
    ],
)
def test_a_parameter_that_would_be_passed_over_is_refused(name: str, task: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}', which is for .* a {task} task"):
        settings_for(Target(task, [0, 1, 2]), 100, {name: 0.8}, 0)
    settings_for(Target(task, [0, 1, 2]), 100, {"balance_classes": 0.0}, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ConfigurationError, match="'eta' must be"):
        settings_for(Target("regression"), 100, {"eta": value}, 0)


def test_a_page_that_cannot_be_written_leaves_no_model(tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OSError, match="file"):
        train(
            tmp_path / "train", tmp_path / "validation", tmp_path / "plan",
            tmp_path / "model", tmp_path / "file" / "page", Request("churn", QUICK),
        )  # fmt: skip
    assert not (tmp_path / "model").exists()


def test_a_column_that_validation_lacks_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    here = place(tmp_path)
    write_table(table("text", 400, 1).drop_columns(["city"]), tmp_path / "validation")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match="'city' is missing"):
        here.train()
    assert sorted(tmp_path.iterdir()) == before


def test_a_plan_that_is_none_is_refused(tmp_path: Path) -> None:
    here = place(tmp_path)
    (tmp_path / "plan").write_text('{"label": "x"}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not a feature plan"):
        here.train()


def f1_at(y: np.ndarray, probability: np.ndarray, threshold: float) -> float:
    answer = probability >= threshold
    return 2 * float((answer & (y == 1)).sum()) / float(answer.sum() + y.sum())


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_beats_the_best(seed: int) -> None:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 2, 60)
    y[0] = 1
    probability = np.clip(0.5 + 0.2 * (y - 0.5) + draw.normal(scale=0.2, size=60), 0.01, 0.99)
    probability = probability.round(1 + seed % 3)  # with ties
    found = best_threshold(y, probability)
    brute = max(f1_at(y, probability, float(value)) for value in probability)
    assert f1_at(y, probability, found) == pytest.approx(brute, abs=1e-12)
    assert not np.isin(found, probability)


def scored(seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    y = draw.integers(0, 2, 80)
    return y, np.clip(0.5 + 0.3 * (y - 0.5) + draw.normal(scale=0.2, size=80), 0.01, 0.99).round(2)


def told(y: np.ndarray, probability: np.ndarray, threshold: float) -> dict[str, float]:
    answer = probability >= threshold
    hits, taken = float((answer & (y == 1)).sum()), float(answer.sum())
    return {
        "cost": (taken - hits) + 5 * (y.sum() - hits),
        "precision": hits / max(taken, 1.0),
        "recall": hits / y.sum(),
        "share": taken / len(y),
    }


@pytest.mark.parametrize("seed", range(10))
def test_a_threshold_keeps_its_rule_and_none_that_does_is_better(seed: int) -> None:
    y, probability = scored(seed)
    others = [told(y, probability, float(value)) for value in [*probability, 0.999]]

    def chosen(rule: str) -> dict[str, float]:
        return told(y, probability, best_threshold(y, probability, rule))

    assert chosen("cost=1:5")["cost"] == min(one["cost"] for one in others)
    mine = chosen("precision>=0.8")
    assert mine["precision"] >= 0.8
    assert mine["recall"] == max(one["recall"] for one in others if one["precision"] >= 0.8)
    mine = chosen("recall >= 0.9")
    assert mine["recall"] >= 0.9
    assert mine["precision"] == max(one["precision"] for one in others if one["recall"] >= 0.9)
    mine = chosen("share<=0.25")
    assert mine["share"] <= 0.25
    assert mine["recall"] == max(one["recall"] for one in others if one["share"] <= 0.25)


def test_where_a_wrong_yes_costs_much_nobody_is_taken() -> None:
    y, probability = scored(0)
    assert best_threshold(y[:20] * 0, probability[:20], "cost=9:1") > probability[:20].max()


@pytest.mark.parametrize("rule", ["f2", "cost=1", "precision>=1.5", "recall>=0", "share<=x"])
def test_a_threshold_rule_that_cannot_be_read_is_refused_before_the_work(tmp_path, rule) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"threshold_rule='{rule}'")):
        absent = tmp_path / "absent"
        train(*[absent] * 5, Request("churn", threshold_rule=rule))


@pytest.mark.parametrize("rule", ["f1", "cost=1:5", "share<=0.2"])
@pytest.mark.parametrize("kind", [0, 1])
def test_rows_of_one_class_have_a_threshold_all_the_same(rule: str, kind: int) -> None:
    scores = np.linspace(0.1, 0.9, 10)
    assert 0 < best_threshold(np.full(10, kind), scores, rule) < 1


@pytest.mark.parametrize("label", ["value", "three"])
def test_a_threshold_rule_is_not_for_a_model_without_one(tmp_path: Path, label: str) -> None:
    place(tmp_path, label)
    paths = (tmp_path / name for name in ("train", "validation", "plan", "model", "page"))
    with pytest.raises(ConfigurationError, match="cost=1:5' is for a binary task; a .* Leave it"):
        train(*paths, Request("churn", threshold_rule="cost=1:5"))


def test_a_rule_that_no_threshold_keeps_is_an_error() -> None:
    with pytest.raises(DataError, match="No threshold keeps threshold_rule='precision>=0.9'"):
        best_threshold(np.array([0, 1, 0]), np.array([0.9, 0.5, 0.5]), "precision>=0.9")


def test_of_equal_thresholds_the_nearest_to_a_half_is_taken() -> None:
    assert best_threshold(np.array([0, 0, 1, 1]), np.array([0.2, 0.3, 0.7, 0.8])) == 0.5
    assert best_threshold(np.array([1, 1]), np.array([1.0, 1.0])) == 0.5
    assert 0 < best_threshold(np.array([0, 1]), np.array([0.0, 0.0])) < 1
