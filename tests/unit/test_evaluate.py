import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.bless.rules import baseline_rule
from shipway.components.evaluate.curves import confusion, roc_points
from shipway.components.evaluate.evaluated import Evaluated
from shipway.components.evaluate.logic import evaluate
from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.errors import ConfigurationError, DataError, ModelPackageError
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.labels import infer_task
from shipway.components.lib.model_package import write_package
from shipway.components.lib.scoring import Prediction
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import write_table
from shipway.components.lib.task import Target
from tests.models import shuffled

ROWS = 2_000


def table(rows: int = ROWS, seed: int = 0, kind: str = "binary") -> pa.Table:
    """A table whose label hangs on `x` and `city`."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    city = random.choice(["Bern", "Rome", "Oslo"], rows)
    score = 1.5 * x + (city == "Rome") + random.normal(size=rows)
    label: Any = np.where(score > 0.3, "yes", "no")
    if kind == "multiclass":
        label = np.array(["low", "mid", "top"])[np.digitize(score, [-0.5, 1.0])]
    if kind == "regression":
        label = 100 + 20 * score
    columns = {"x": x, "city": city, "member": random.random(rows) < 0.5, "label": label}
    return pa.table(columns)


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
    """A trained model package for each task."""
    root = tmp_path_factory.mktemp("models")
    return {k: build(root / k, table(kind=k)) for k in ("binary", "multiclass", "regression")}


def run(
    model: Path, test: pa.Table, folder: Path, columns: tuple[str, ...] = ()
) -> tuple[Evaluated, dict[str, Any], str]:
    write_table(test, folder / "test")
    found = evaluate(
        model, folder / "test", folder / "evaluation.json", folder / "page.html", columns
    )
    document = json.loads((folder / "evaluation.json").read_text())
    return found, document, (folder / "page.html").read_text()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_task_is_measured_with_intervals(
    kind: str, models: dict[str, Path], tmp_path: Path
) -> None:
    found, document, page = run(models[kind], table(seed=9, kind=kind), tmp_path)
    main = {"binary": "auc", "multiclass": "log_loss", "regression": "rmse"}[kind]
    assert document["main_metric"] == main
    assert document["task"] == kind
    assert document["rows"] == ROWS
    assert len(document["digest"]) == 64
    for metric in document["metrics"].values():
        assert metric["low"] <= metric["value"] <= metric["high"]
    assert document["gain"]["low"] > 0
    assert document["gain"]["low"] <= document["gain"]["value"] <= document["gain"]["high"]
    assert main in page
    assert all(type(value) is float and math.isfinite(value) for value in found.metrics.values())
    flat = found.metadata.values()
    assert all(type(value) in (float, str) for value in flat)


def test_the_constant_is_the_baseline(models: dict[str, Path], tmp_path: Path) -> None:
    test = table(seed=9, kind="regression")
    _, document, _ = run(models["regression"], test, tmp_path)
    label = test["label"].to_numpy()
    assert document["baselines"]["constant"]["rmse"] == pytest.approx(label.std(), rel=1e-5)
    gain = document["baselines"]["constant"]["rmse"] - document["metrics"]["rmse"]["value"]
    assert document["gain"]["value"] == pytest.approx(gain)


@pytest.mark.parametrize(
    ("rows", "share", "words"),
    [
        (400, 0.0, "is for the gate to say"),
        (40, 0.4, "better at 95%, and the gate asks for 99.9%"),
        (400, 1.0, "do not ship it"),
    ],
    ids=["surely", "hardly", "worse"],
)
def test_the_page_is_as_sure_as_the_gate(
    rows: int, share: float, words: str, models: dict[str, Path], tmp_path: Path
) -> None:
    test = shuffled(table(rows, seed=13, kind="regression"), share, seed=4)
    _, document, page = run(models["regression"], test, tmp_path)
    assert words in page
    verdict = baseline_rule(document).verdict
    assert re.search(r'class="chip [^>]*><b[^>]*>[^<]*</b>(\w+)', page)[1] == verdict  # type: ignore[index]


def test_slices_are_chosen_and_add_up(models: dict[str, Path], tmp_path: Path) -> None:
    test = table(seed=9)
    _, document, _ = run(models["binary"], test, tmp_path)
    sizes = {part["slice"]: part["n"] for part in document["slices"]}
    assert set(sizes) == {"city=Bern", "city=Rome", "city=Oslo", "member=true", "member=false"}
    rome = np.asarray(test["city"].to_pylist()) == "Rome"
    assert sizes["city=Rome"] == rome.sum()
    assert sizes["member=true"] + sizes["member=false"] == ROWS
    for part in document["slices"]:
        assert part["interval"][0] <= part["metrics"]["auc"] <= part["interval"][1]
        assert part["gain"]["low"] > 0


def test_asked_slices_of_numbers_are_ranges_and_small_ones_have_no_interval(
    models: dict[str, Path], tmp_path: Path
) -> None:
    test = table(180, seed=9)
    x = pa.array([None] * 7 + test["x"].to_pylist()[7:])
    _, document, _ = run(models["binary"], test.set_column(0, "x", x), tmp_path, ("x",))
    parts = document["slices"]
    assert sum(part["n"] for part in parts) == 180
    assert parts[-1]["slice"] == "x=(missing)"
    assert parts[-1]["n"] == 7
    assert len(parts) == 5
    assert all("interval" not in part and part["metrics"]["accuracy"] > 0 for part in parts)


def test_an_unknown_slice_column_names_the_nearest(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'citty'.*Did you mean 'city'"):
        run(models["binary"], table(50), tmp_path, ("citty",))
    with pytest.raises(ConfigurationError, match="is the label"):
        run(models["binary"], table(50), tmp_path / "b", ("label",))
    assert not (tmp_path / "evaluation.json").exists()


def test_slices_of_one_class_lack_what_is_undefined(
    models: dict[str, Path], tmp_path: Path
) -> None:
    test = table(400, seed=9)
    city = pa.array(["Rome" if said == "yes" else "Oslo" for said in test["label"].to_pylist()])
    _, document, _ = run(models["binary"], test.set_column(1, "city", city), tmp_path, ("city",))
    for part in document["slices"]:
        assert "auc" not in part["metrics"]
        assert "gain" not in part
        assert "accuracy" in part["metrics"]


def test_a_slice_with_one_positive_row_claims_no_certainty(
    models: dict[str, Path], tmp_path: Path
) -> None:
    test = table(400, seed=9).sort_by("label")
    first = test["label"].to_pylist().index("yes")
    city = pa.array(["Rome" if index <= first else "Oslo" for index in range(400)])
    _, document, _ = run(models["binary"], test.set_column(1, "city", city), tmp_path, ("city",))
    rome = next(part for part in document["slices"] if part["slice"] == "city=Rome")
    assert rome["n"] > 100
    assert "auc" in rome["metrics"]
    assert "interval" not in rome
    assert "gain" not in rome


def test_classes_that_training_never_saw_are_counted_and_are_errors(
    models: dict[str, Path], tmp_path: Path
) -> None:
    test = table(400, seed=9, kind="multiclass")
    _, before, _ = run(models["multiclass"], test, tmp_path / "before")
    label = pa.array(["extreme"] * 40 + test["label"].to_pylist()[40:])
    _, document, page = run(
        models["multiclass"], test.set_column(3, "label", label), tmp_path / "after"
    )
    assert document["unseen_classes"] == {"extreme": 40}
    assert document["metrics"]["accuracy"]["value"] <= 0.9
    assert document["metrics"]["accuracy"]["value"] < before["metrics"]["accuracy"]["value"]
    assert sum(map(sum, document["confusion"]["matrix"])) == 360
    assert "extreme (40)" in page


def test_bad_tables_and_packages_leave_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    test = table(50)
    with pytest.raises(DataError, match="no column 'label'"):
        run(models["binary"], test.drop_columns(["label"]), tmp_path / "a")
    with pytest.raises(DataError, match="'x'"):
        run(models["binary"], test.drop_columns(["x"]), tmp_path / "b")
    with pytest.raises(DataError, match="no rows"):
        run(models["binary"], test.slice(0, 0), tmp_path / "c")
    with pytest.raises(ModelPackageError):
        run(tmp_path / "nowhere", test, tmp_path / "d")
    assert not list(tmp_path.glob("*/evaluation.json"))
    assert not list(tmp_path.glob("*/page.html"))


def test_one_test_row_is_measured_without_a_crash(models: dict[str, Path], tmp_path: Path) -> None:
    _, document, page = run(models["binary"], table(1), tmp_path)
    assert "auc" not in document["metrics"]
    assert document["gain"] is None
    assert "could not be measured" in page


def test_the_dashboard_gets_curves_it_can_draw(models: dict[str, Path], tmp_path: Path) -> None:
    found, _, _ = run(models["binary"], table(seed=9), tmp_path / "binary")
    names, matrix = found.confusion
    assert names == ["no", "yes"]
    assert sum(map(sum, matrix)) == ROWS
    fpr, tpr, threshold = found.roc
    assert len(fpr) == len(tpr) == len(threshold) <= 100
    assert all(math.isfinite(value) for value in threshold)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert all(np.diff(fpr) >= 0)
    assert all(np.diff(tpr) >= 0)
    found, _, _ = run(models["regression"], table(kind="regression"), tmp_path / "regression")
    assert found.confusion == ([], [])
    assert found.roc == ([], [], [])


def test_roc_points_keep_the_area() -> None:
    random = np.random.default_rng(0)
    y = (random.random(5_000) < 0.3).astype(np.int32)
    score = 1 / (1 + np.exp(-random.normal(y, 1)))
    points = np.array(roc_points(y, score))
    wins = np.mean(score[y == 1][:, None] > score[y == 0][None, :])
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(wins, abs=2e-3)
    assert roc_points(np.ones(5, dtype=np.int32), score[:5]) == []


def test_many_classes_are_folded_and_nothing_is_lost() -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 60, 3_000).astype(np.int32)
    prediction = Prediction(probabilities=np.eye(60)[y], labels=y, values=None)
    held = HeldOut(Target("multiclass", [f"c{code}" for code in range(60)]), y, prediction, {})
    names, matrix = confusion(held)
    assert len(names) == len(matrix) == 20
    assert names[-1] == "(other classes)"
    assert sum(map(sum, matrix)) == sum(matrix[i][i] for i in range(20)) == 3_000
