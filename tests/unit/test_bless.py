import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.bless.logic import bless
from shipway.components.bless.rules import baseline_rule, bound_rules, slice_rules
from shipway.components.evaluate.logic import evaluate
from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.labels import infer_task
from shipway.components.lib.model_package import write_package
from shipway.components.lib.model_store import open_store
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import write_table

ROWS = 1_500


def table(rows: int = ROWS, seed: int = 0, kind: str = "binary") -> pa.Table:
    random = np.random.default_rng(seed)
    x, z = random.normal(size=rows), random.normal(size=rows)
    score = 1.5 * x + z + random.normal(size=rows)
    label: Any = 10 * score if kind == "regression" else np.where(score > 0.3, "yes", "no")
    return pa.table({"x": x, "z": z, "label": label})


def shuffled(source: pa.Table, share: float = 1.0, seed: int = 0) -> pa.Table:
    """The table with the labels of a share of its rows drawn from other rows."""
    random = np.random.default_rng(seed)
    label = np.asarray(source["label"].to_pylist())
    rows = np.flatnonzero(random.random(len(label)) < share)
    label[rows] = label[random.permutation(rows)]
    return source.set_column(source.column_names.index("label"), "label", pa.array(label))


def build(path: Path, source: pa.Table) -> Path:
    """A model package trained on a table by the real plan and package."""
    plan = fit_plan(source, "label", infer_task(source["label"]))
    parameters: dict[str, Any] = {"max_depth": 3, "eta": 0.2, "nthread": 1}
    parameters["objective"] = {
        "binary": "binary:logistic",
        "multiclass": "multi:softprob",
        "regression": "reg:squarederror",
    }[plan.target.task]
    if plan.target.task == "multiclass":
        parameters["num_class"] = len(plan.target.classes)
    y = plan.target.encode(source["label"])
    booster = xgb.train(parameters, xgb.DMatrix(plan.transform_training(source), y), 30)
    threshold = 0.5 if plan.target.task == "binary" else None
    signature = signature_of(plan, "churn", threshold, Calibrator().to_json(), xgb.__version__)
    write_package(path, booster, signature, [], [], {}, {})
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "good": build(root / "good", table(seed=1)),
        "other": build(root / "other", table(seed=2)),
        "poor": build(root / "poor", shuffled(table(seed=1), 0.8)),
        "random": build(root / "random", shuffled(table(seed=1))),
        "wide": build(root / "wide", table(seed=1).append_column("w", table(seed=3)["x"])),
        "regression": build(root / "regression", table(seed=1, kind="regression")),
    }


def judge(
    model: Path, folder: Path, test: pa.Table | None = None, store: str = "", **bounds: Any
) -> tuple[str, Decision]:
    """Evaluate a model on a test table and bless it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(table(seed=9) if test is None else test, folder / "test")
    evaluate(model, folder / "test", folder / "evaluation.json", folder / "evaluation.html")
    return rejudge(model, folder, store, **bounds)


def rejudge(model: Path, folder: Path, store: str = "", **bounds: Any) -> tuple[str, Decision]:
    verdict = bless(
        folder / "evaluation.json",
        model,
        folder / "test",
        folder / "decision.json",
        folder / "page.html",
        model_name="churn",
        model_store=store,
        **bounds,
    )
    decision = Decision.load(folder / "decision.json")
    assert (verdict == "blessed") == (decision.verdict == "pass")
    assert verdict in (folder / "page.html").read_text()
    return verdict, decision


def rule(decision: Decision, name: str) -> Rule:
    return next(each for each in decision.rules if each.name == name)


def crown(store: Path, model: Path) -> str:
    """Make a model the champion of a new store."""
    opened = open_store(str(store))
    opened.promote("churn", opened.register("churn", model, {}), None)
    return str(store)


def test_a_good_first_model_is_blessed(models: dict[str, Path], tmp_path: Path) -> None:
    verdict, decision = judge(models["good"], tmp_path, store=str(tmp_path / "store"))
    assert verdict == "blessed"
    assert decision.gate == "model"
    assert "first model" in rule(decision, "champion").sentence
    assert rule(decision, "better_than_constant").interval is not None


def test_no_store_is_said(models: dict[str, Path], tmp_path: Path) -> None:
    verdict, decision = judge(models["good"], tmp_path)
    assert verdict == "blessed"
    assert "No model store" in rule(decision, "champion").sentence


def test_a_model_of_shuffled_labels_is_rejected(models: dict[str, Path], tmp_path: Path) -> None:
    verdict, decision = judge(models["random"], tmp_path)
    assert verdict == "rejected"
    assert decision.failures[0].name == "better_than_constant"
    assert "not better beyond chance" in decision.failures[0].sentence


def test_labels_of_a_coin_reject_a_good_model(models: dict[str, Path], tmp_path: Path) -> None:
    verdict, _ = judge(models["good"], tmp_path, shuffled(table(seed=9)))
    assert verdict == "rejected"


def test_a_regression_is_held_against_the_mean(models: dict[str, Path], tmp_path: Path) -> None:
    test = table(seed=9, kind="regression")
    verdict, decision = judge(models["regression"], tmp_path / "good", test)
    assert verdict == "blessed"
    assert rule(decision, "better_than_constant").value > 0  # type: ignore[operator]
    verdict, _ = judge(models["regression"], tmp_path / "coin", shuffled(test))
    assert verdict == "rejected"


def test_a_tiny_test_table_is_no_proof(models: dict[str, Path], tmp_path: Path) -> None:
    verdict, decision = judge(models["good"], tmp_path, table(12, seed=9))
    assert verdict == "rejected"
    assert "12 rows" in rule(decision, "test_rows").sentence
    verdict, _ = rejudge(models["good"], tmp_path, minimum_metrics={"accuracy": 0.1})
    assert verdict == "blessed"  # who states bounds judges by them
    source = table(seed=9).sort_by("label")
    few = source.slice(source["label"].to_pylist().index("yes") - 200, 203)
    verdict, decision = judge(models["good"], tmp_path / "few", few)
    assert verdict == "rejected"
    assert "3 rows of class 'yes'" in rule(decision, "test_rows").sentence


def test_one_class_in_the_test_table_fails_closed(models: dict[str, Path], tmp_path: Path) -> None:
    test = table(seed=9)
    only = test.set_column(2, "label", pa.array(["yes"] * ROWS))
    verdict, decision = judge(models["good"], tmp_path, only)
    assert verdict == "rejected"
    assert "could not be measured" in rule(decision, "better_than_constant").sentence


def test_bounds_are_inclusive_and_replace_the_defaults(
    models: dict[str, Path], tmp_path: Path
) -> None:
    judge(models["good"], tmp_path)
    auc = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]["auc"]["value"]
    verdict, decision = rejudge(models["good"], tmp_path, minimum_metrics={"auc": auc})
    assert verdict == "blessed"
    assert {each.name for each in decision.rules} == {"evaluation", "auc", "champion"}
    verdict, decision = rejudge(
        models["good"], tmp_path, minimum_metrics={"auc": auc + 1e-9}, maximum_metrics={"brier": 1}
    )
    assert verdict == "rejected"
    assert [each.name for each in decision.failures] == ["auc"]
    assert "change auc in minimum_metrics" in decision.failures[0].sentence
    verdict, _ = rejudge(models["good"], tmp_path, maximum_metrics={"log_loss": 0.001})
    assert verdict == "rejected"


def test_a_metric_that_does_not_exist_names_the_nearest(
    models: dict[str, Path], tmp_path: Path
) -> None:
    verdict, decision = judge(models["good"], tmp_path, minimum_metrics={"acuracy": 0.5})
    assert verdict == "rejected"
    assert "Did you mean 'accuracy'?" in decision.failures[0].sentence
    _, decision = rejudge(models["good"], tmp_path, maximum_metrics={"rmse": 5})
    assert "no binary model has" in decision.failures[0].sentence
    with pytest.raises(ConfigurationError, match=r"minimum_metrics\['auc'\] is '0.8'"):
        rejudge(models["good"], tmp_path, minimum_metrics={"auc": "0.8"})


def test_missing_and_not_a_number_fail() -> None:
    evaluation: dict[str, Any] = {"task": "binary", "rows": 100, "metrics": {}}
    assert bound_rules(evaluation, {"auc": 0.0}, {})[0].verdict == "fail"
    for value in (None, float("nan"), float("inf")):
        evaluation["metrics"] = {"auc": {"value": value, "low": None, "high": None}}
        assert bound_rules(evaluation, {"auc": 0.0}, {})[0].verdict == "fail"
    evaluation["metrics"] = {"auc": {"value": 0.9, "low": None, "high": None}}
    assert bound_rules(evaluation, {"auc": float("nan")}, {})[0].verdict == "fail"


def test_a_tie_with_the_constant_is_not_enough() -> None:
    evaluation: dict[str, Any] = {
        "task": "regression", "rows": 100, "main_metric": "rmse", "slices": [],
        "metrics": {"rmse": {"value": 1.0}}, "baselines": {"constant": {"rmse": 1.0}},
        "gain": {"value": 0.0, "low": 0.0, "high": 0.0},
    }  # fmt: skip
    assert baseline_rule(evaluation).verdict == "fail"
    assert baseline_rule(evaluation | {"gain": None}).verdict == "fail"


def test_a_slice_that_collapses_rejects_and_is_named(
    models: dict[str, Path], tmp_path: Path
) -> None:
    test = table(seed=9)
    flipped = np.random.default_rng(0).random(ROWS) < 0.2
    swap = {"yes": "no", "no": "yes"}
    label = [
        swap[said] if flip else said
        for said, flip in zip(test["label"].to_pylist(), flipped, strict=True)
    ]
    city = pa.array(np.where(flipped, "Rome", "Oslo"))
    test = test.set_column(2, "label", pa.array(label)).append_column("city", city)
    verdict, decision = judge(models["good"], tmp_path, test)
    assert verdict == "rejected"
    assert [each.slice for each in decision.failures] == ["city=Rome"]
    assert decision.failures[0].n == flipped.sum()
    assert rule(decision, "better_than_constant").verdict == "pass"


def test_small_or_undefined_slices_do_not_reject() -> None:
    bad = {"value": -0.3, "low": -0.4, "high": -0.2}
    slices = [
        {"slice": "a=1", "n": 49, "metrics": {"auc": 0.2}, "gain": bad},
        {"slice": "a=2", "n": 80, "metrics": {}},
    ]
    rules = slice_rules({"main_metric": "auc", "slices": slices})
    assert [each.verdict for each in rules] == ["pass"]
    assert "No slice has rows enough" in rules[0].sentence


def test_a_better_candidate_passes_the_champion(models: dict[str, Path], tmp_path: Path) -> None:
    store = crown(tmp_path / "store", models["poor"])
    verdict, decision = judge(models["good"], tmp_path, store=store)
    assert verdict == "blessed"
    found = rule(decision, "champion")
    assert "better than" in found.sentence
    assert found.interval is not None
    assert found.interval[0] > 0
    assert "Candidate and champion" in (tmp_path / "page.html").read_text()


def test_a_worse_candidate_is_rejected(models: dict[str, Path], tmp_path: Path) -> None:
    store = crown(tmp_path / "store", models["good"])
    verdict, decision = judge(models["poor"], tmp_path, store=store)
    assert verdict == "rejected"
    assert [each.name for each in decision.failures] == ["champion"]
    assert decision.failures[0].interval[1] < 0  # type: ignore[index]


def test_an_equal_candidate_passes(models: dict[str, Path], tmp_path: Path) -> None:
    store = crown(tmp_path / "store", models["good"])
    verdict, decision = judge(models["other"], tmp_path, store=store)
    assert verdict == "blessed"
    low, high = rule(decision, "champion").interval  # type: ignore[misc]
    assert low <= rule(decision, "champion").value <= high  # type: ignore[operator]


def test_the_champion_itself_passes(models: dict[str, Path], tmp_path: Path) -> None:
    store = crown(tmp_path / "store", models["good"])
    verdict, decision = judge(models["good"], tmp_path, store=store)
    assert verdict == "blessed"
    assert "the champion itself" in rule(decision, "champion").sentence


def test_a_champion_without_its_column_rejects(models: dict[str, Path], tmp_path: Path) -> None:
    store = crown(tmp_path / "store", models["wide"])
    verdict, decision = judge(models["good"], tmp_path, store=store)
    assert verdict == "rejected"
    assert "'w'" in decision.failures[0].sentence
    assert "model_name of its own" in decision.failures[0].sentence


def test_a_champion_of_another_task_rejects(models: dict[str, Path], tmp_path: Path) -> None:
    store = crown(tmp_path / "store", models["regression"])
    verdict, decision = judge(models["good"], tmp_path, store=store)
    assert verdict == "rejected"
    assert "has task 'regression'" in decision.failures[0].sentence


def test_a_damaged_champion_rejects(models: dict[str, Path], tmp_path: Path) -> None:
    store = crown(tmp_path / "store", models["poor"])
    booster = next((tmp_path / "store").glob("churn/versions/1/**/model.ubj"))
    booster.chmod(0o644)
    booster.write_bytes(booster.read_bytes()[:-1] + b"!")
    verdict, decision = judge(models["good"], tmp_path, store=store)
    assert verdict == "rejected"
    assert "cannot be loaded" in decision.failures[0].sentence


def test_an_evaluation_of_another_model_or_table_rejects(
    models: dict[str, Path], tmp_path: Path
) -> None:
    judge(models["good"], tmp_path)
    verdict, decision = rejudge(models["other"], tmp_path)
    assert verdict == "rejected"
    assert [each.name for each in decision.failures] == ["evaluation"]
    shutil.rmtree(tmp_path / "test")
    write_table(table(100, seed=9), tmp_path / "test")
    verdict, decision = rejudge(models["good"], tmp_path)
    assert verdict == "rejected"
    assert "the test table has 100" in decision.failures[0].sentence


def test_what_is_no_evaluation_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    judge(models["good"], tmp_path)
    (tmp_path / "decision.json").unlink()
    for text in ("[]", "{", '{"task": "binary"}'):
        (tmp_path / "evaluation.json").write_text(text)
        with pytest.raises(ConfigurationError, match="is not an evaluation"):
            rejudge(models["good"], tmp_path)
    assert not (tmp_path / "decision.json").exists()
