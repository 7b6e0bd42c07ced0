import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.constraints import Constraints, constraint_parameters
from shipway.components.lib.contributions import (
    by_column,
    column_interactions,
    column_sums,
    feature_shares,
)
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.interactions import OPERATIONS, interaction_of
from shipway.components.lib.labels import infer_task
from shipway.components.lib.model_package import load_package, write_package
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import to_rows
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.questions import Options

NASTY = [None, 0.0, -0.0, 1e308, -1e308, 5e-324, 3.4028236e38, 1 / 3, math.inf, math.nan, -7.0]


def table(rows: int = 300, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=rows), draw.normal(size=rows)
    return pa.table(
        {
            "city": draw.choice(["Bern", "Rome"], rows),
            "a": a,
            "when": pa.array(draw.integers(0, 10**15, rows), pa.timestamp("us")),
            "b": b,
            "c": [f"{abs(value):,.3f}" for value in draw.normal(size=rows)],
            "label": a * b + 0.1 * draw.normal(size=rows),
        }
    )


@pytest.fixture(scope="module")
def plan() -> FeaturePlan:
    rows = table()
    found = fit_plan(rows, "label", infer_task(rows["label"]))
    made = [interaction_of("b", "a", operation) for operation in OPERATIONS]
    return FeaturePlan.from_json(
        found.to_json()
        | {"interactions": [vars(one) for one in [*made, interaction_of("a", "c", "ratio")]]}
    )


def nasty() -> pa.Table:
    pairs = [(first, second) for first in NASTY for second in NASTY]
    rows = table(len(pairs), 1)
    for name, cells in zip("ab", zip(*pairs, strict=True), strict=True):
        place = rows.column_names.index(name)
        rows = rows.set_column(place, name, pa.array(cells, pa.float64(), from_pandas=False))
    return rows


@pytest.mark.parametrize("rows", [table(50, 2), nasty()], ids=["usual", "nasty"])
def test_training_batch_and_single_rows_agree_to_the_bit(plan: FeaturePlan, rows: pa.Table) -> None:
    batch = plan.transform(rows)
    read = FeaturePlan.from_json(json.loads(json.dumps(plan.to_json(), allow_nan=False)))
    assert read == plan
    transform_row = read.row_transformer()
    single = np.stack([transform_row(row) for row in to_rows(rows)])
    np.testing.assert_array_equal(batch.view(np.int32), single.view(np.int32))
    np.testing.assert_array_equal(batch, plan.transform_training(rows))
    assert not np.isinf(batch).any()


def test_an_interaction_is_made_of_cells_before_they_are_rounded(plan: FeaturePlan) -> None:
    rows = table(50, 3)
    first, second = (rows[name].to_numpy() for name in "ba")
    names = plan.feature_names[-4:]
    assert names == ["b - a", "b * a", "b / a", "a / c"]
    made = plan.transform(rows)[:, -4:-1]
    wanted = np.stack([first - second, first * second, first / second], axis=1)
    np.testing.assert_array_equal(made, wanted.astype(np.float32))


def test_what_changes_in_a_column_changes_in_its_interactions(plan: FeaturePlan) -> None:
    matrix = plan.transform(table(20, 4))
    changed = matrix.copy()
    changed[:, plan.feature_names.index("a")] = np.nan
    again = plan.refreshed(changed)
    assert np.isnan(again[:, -4:]).all()
    np.testing.assert_allclose(plan.refreshed(matrix), matrix, rtol=1e-4)


@pytest.fixture(scope="module")
def booster(plan: FeaturePlan) -> xgb.Booster:
    rows = table()
    y = plan.target.encode(rows["label"])
    matrix = xgb.DMatrix(plan.transform_training(rows), y)
    return xgb.train({"max_depth": 4, "nthread": 1}, matrix, 20)


def test_contributions_by_column_add_up_to_the_margin(
    plan: FeaturePlan, booster: xgb.Booster
) -> None:
    rows = plan.transform(table(40, 5))
    shares = feature_shares(booster, rows)
    columns, base = by_column(shares, column_sums(plan))
    margins = booster.predict(xgb.DMatrix(rows), output_margin=True)
    assert columns.shape == (40, len(plan.columns))
    np.testing.assert_allclose(columns.sum(axis=1) + base, margins, atol=1e-4)
    place = plan.feature_names.index("a")
    mine = shares[:, place] + shares[:, -5:-1].astype(np.float64).sum(axis=1) / 2
    names = [column.name for column in plan.columns]
    np.testing.assert_allclose(columns[:, names.index("a")], mine, atol=1e-5)


def test_what_pairs_of_columns_do_adds_up_to_the_contributions(
    plan: FeaturePlan, booster: xgb.Booster
) -> None:
    rows, sums = plan.transform(table(10, 6)), column_sums(plan)
    pairs = column_interactions(booster, rows, sums)
    columns, _ = by_column(feature_shares(booster, rows), sums)
    np.testing.assert_allclose(pairs.sum(axis=2), columns, atol=1e-4)
    np.testing.assert_allclose(pairs, pairs.swapaxes(1, 2), atol=1e-6)


@pytest.mark.parametrize("limits", [Constraints({"c": 1}), Constraints({}, [["when", "city"]])])
def test_a_feature_by_which_trees_could_go_round_a_constraint_is_refused(
    plan: FeaturePlan, limits: Constraints
) -> None:
    with pytest.raises(ConfigurationError, match=r"fit_features again"):
        constraint_parameters(plan, limits, "reg:squarederror")


def test_the_server_takes_raw_columns_and_answers_as_training_did(
    plan: FeaturePlan, booster: xgb.Booster, tmp_path: Path
) -> None:
    signature = signature_of(plan, "pair", None, Calibrator().to_json(), xgb.__version__)
    rows = table(20, 7).drop_columns(["label"])
    golden = to_rows(rows)
    write_package(tmp_path / "model", booster, signature, golden, [{}] * 20, {}, {})
    engine = Engine(load_package(tmp_path / "model"))
    assert engine.schema.names == tuple(rows.column_names)
    expected = Scorer(booster, signature).score_table(rows)
    lean = engine.reader.read_rows(golden)
    careful = engine.reader.read_columns(
        {name: [row[name] for row in golden] for name in rows.column_names}
    )
    assert lean is not None
    for batch in (lean, careful):
        prediction = engine.score(batch.features)
        np.testing.assert_array_equal(prediction.values, expected.values)
        explained = engine.explain(batch.features, prediction, Options())
        total = explained.contributions.sum(axis=1) + explained.base_values
        np.testing.assert_allclose(total, expected.values, atol=1e-4)
