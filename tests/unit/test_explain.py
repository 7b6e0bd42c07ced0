import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.explain.dependence import dependence
from shipway.components.explain.logic import explain
from shipway.components.features.logic import fit
from shipway.components.lib.contributions import by_column, column_sums, feature_shares
from shipway.components.lib.model_package import load_package
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.tables import write_table
from shipway.components.train.logic import train
from shipway.components.train.request import Request
from tests.models import build, table


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    kinds = ("binary", "multiclass", "regression")
    return {kind: build(root / kind, with_noise(table(seed=1, kind=kind))) for kind in kinds}


def with_noise(source: pa.Table) -> pa.Table:
    draw = np.random.default_rng(7)
    return source.append_column("noise", pa.array(draw.normal(size=source.num_rows)))


def run(model: Path, folder: Path, kind: str = "binary") -> dict[str, Any]:
    write_table(with_noise(table(600, seed=9, kind=kind)), folder / "test")
    explain(model, folder / "test", folder / "x.json", folder / "x.html")
    return json.loads((folder / "x.json").read_text())


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_contributions_of_raw_columns_add_up_to_the_margin(
    kind: str, models: dict[str, Path]
) -> None:
    package = load_package(models[kind])
    scorer = Scorer(package.booster, package.signature)
    matrix = scorer.plan.transform(with_noise(table(50, seed=2, kind=kind)))
    columns, base = by_column(feature_shares(package.booster, matrix), column_sums(scorer.plan))
    assert columns.shape[-1] == len(scorer.plan.columns)
    np.testing.assert_allclose(columns.sum(axis=-1) + base, scorer.margins(matrix), atol=1e-4)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_task_is_explained(kind: str, models: dict[str, Path], tmp_path: Path) -> None:
    found = run(models[kind], tmp_path, kind)
    named = [column["column"] for column in found["columns"]]
    assert set(named[:2]) == {"x", "z"}
    assert named[-1] == "noise"
    assert sum(column["share"] for column in found["columns"]) == pytest.approx(1)
    assert found["interactions"]["pairs"][0]["columns"] == ["x", "z"]
    assert 0 < found["interactions"]["share"] < 1
    assert {part["slice"] for part in found["slices"]} == {"city=Bern", "city=Rome", "city=Oslo"}
    assert found["summary"][0].startswith(f"{named[0]} moves the answer most")
    page = (tmp_path / "x.html").read_text()
    assert "TreeSHAP" in page
    assert "In words" in page


@pytest.mark.parametrize(
    ("objective", "unit"), [("poisson", "in the logarithm of label"), ("quantile", "of label")]
)
def test_contributions_are_of_the_value_and_in_its_unit(
    objective: str, unit: str, tmp_path: Path
) -> None:
    for part, seed in (("train", 1), ("validation", 2)):
        rows = table(600, seed, "regression")
        label = pa.array(np.maximum(rows["label"].to_numpy(), 0))
        write_table(rows.set_column(3, "label", label), tmp_path / part)
    fit(tmp_path / "train", "label", tmp_path / "plan", tmp_path / "features.html")
    given = {"num_boost_round": 30.0, "eta": 0.3, "nthread": 1.0}
    paths = (tmp_path / name for name in ("train", "validation", "plan", "model", "page"))
    train(*paths, Request("prices", given, objective=objective))
    explain(tmp_path / "model", tmp_path / "validation", tmp_path / "x.json", tmp_path / "x.html")
    found = json.loads((tmp_path / "x.json").read_text())
    assert f" {unit} on average" in found["summary"][0]
    scorer = Scorer((package := load_package(tmp_path / "model")).booster, package.signature)
    margins = scorer.margins(scorer.plan.transform(table(600, 2, "regression")))
    median = margins[:, 1] if objective == "quantile" else margins
    pushed = sum(part["mean"] * part["n"] for part in found["slices"]) / 600
    assert found["base"] + pushed == pytest.approx(median.mean(), abs=1e-3)


def test_the_same_seed_explains_alike(models: dict[str, Path], tmp_path: Path) -> None:
    assert run(models["binary"], tmp_path / "a") == run(models["binary"], tmp_path / "b")


def test_a_number_is_told_by_its_trend() -> None:
    values = np.linspace(0, 10, 200)
    rising = dependence("x", pa.chunked_array([values]), values - 5)
    assert (rising["kind"], rising["trend"]) == ("number", "up")
    assert dependence("x", pa.chunked_array([values]), 5 - values)["trend"] == "down"
    bent = dependence("x", pa.chunked_array([values]), (values - 5) ** 2)
    assert bent["trend"] == "bent"
    gaps = pa.chunked_array([pa.array([None] * 20 + values[20:].tolist())])
    assert dependence("x", gaps, values)["missing"]["n"] == 20
    texts = pa.chunked_array([pa.array([f"{value:.3f}" for value in values])])
    assert dependence("x", texts, values)["kind"] == "number"


def test_values_are_told_by_name_and_in_order() -> None:
    city = pa.chunked_array([pa.array(["Rome", "Bern", None, "Bern"])])
    found = dependence("city", city, np.array([2.0, -1.0, 0.5, -1.0]))
    assert [point["value"] for point in found["points"]] == ["Bern", "(missing)", "Rome"]
    assert [point["n"] for point in found["points"]] == [2, 1, 1]
