"""The folds that trials are judged on."""

import math
import tempfile
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.lib.errors import DataError
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.folds import drawn_folds
from shipway.components.lib.losses import row_losses
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.tables import write_table
from shipway.components.lib.task import Target
from shipway.components.tune.fold import Fold
from shipway.components.tune.folds import folds_of
from shipway.components.tune.trials import Arena, Limits, evaluate
from tests.unit.tuning import table

BOOSTER = {"objective": "binary:logistic", "eval_metric": "logloss", "max_bin": 16}


def layout(rows: pa.Table, held_out: pa.Table, seconds: float = 0.0, **more: str):
    target = Target("binary", ["no", "yes"], "yes")
    names = {name: more.get(name, "") for name in ("group_column", "time_column")}
    plan = fit_plan(rows, "label", target, **names)
    with tempfile.TemporaryDirectory() as folder:
        tables = [Path(folder) / name for name in ("train", "validation")]
        for part, path in zip((rows, held_out), tables, strict=True):
            write_table(part, path)
        stored = [StoredTable(path) for path in tables]
        return plan, folds_of(plan, *stored, time_column=names["time_column"], seconds=seconds)


def where(fold: Fold, plan, name: str) -> tuple[set[float], set[float]]:
    """The values of a feature among training and held-out rows."""
    index = plan.feature_names.index(name)
    blocks = fold.training.matrix, fold.held_out.matrix
    first, second = (set(block[:, index].tolist()) for block in blocks)
    return first, second


def test_every_row_of_a_small_table_is_held_out_once() -> None:
    plan, folds = layout(table("binary", 400, 0), table("binary", 100, 1))
    assert folds.scheme == "cross-validation"
    held = [value for fold in folds.folds for value in where(fold, plan, "x")[1]]
    assert len(held) == len(set(held)) == 500
    for fold in folds.folds:
        assert not set.intersection(*where(fold, plan, "x"))
        assert fold.held_out.y.mean() == pytest.approx(fold.training.y.mean(), abs=0.02)


def test_groups_never_straddle_folds() -> None:
    parts = []
    for seed, rows in ((0, 400), (1, 100)):
        group = np.random.default_rng(seed).integers(0, 40, rows)
        grouped = table("binary", rows, seed).append_column("twin", pa.array(group * 1.5))
        parts.append(grouped.append_column("group", pa.array([f"g{i}" for i in group])))
    plan, folds = layout(*parts, group_column="group")
    assert len(folds.folds) == 5
    for fold in folds.folds:
        assert not set.intersection(*where(fold, plan, "twin"))
        assert len(set(fold.held_out.related)) == len(where(fold, plan, "twin")[1])
    limits = Limits(2, 2, math.inf, Event())
    result = evaluate(Arena.of(folds, folds.folds, 16, 1), BOOSTER, limits)
    assert len(set(result.related)) == 40  # a group of one fold is none of another's


def test_few_rows_make_few_folds_and_one_row_or_group_none() -> None:
    rows = table("binary", 40, 0)
    for name, told in (("", "There is one row"), ("shop", "There is one value of 'shop'")):
        plan = fit_plan(rows, "label", Target("binary", ["no", "yes"], "yes"), group_column=name)
        assert len(list(drawn_folds(plan, rows.take([0, 1, 2]), 10, 0))) == 3
        with pytest.raises(DataError, match=told):
            list(drawn_folds(plan, rows.take([0]), 10, 0))


def test_folds_in_time_are_judged_by_what_comes_later() -> None:
    rows = table("binary", 800, 0)
    when = np.sort(rows["when"].to_numpy())
    rows = rows.set_column(4, "when", pa.array(when)).take(
        np.random.default_rng(0).permutation(800)
    )
    late = table("binary", 200, 1).set_column(4, "when", pa.array(800.0 + np.arange(200)))
    plan, folds = layout(rows, late, time_column="when")
    assert folds.scheme == "time order"
    assert [len(fold.training.y) for fold in folds.folds] == [400, 600, 800]
    assert [len(fold.held_out.y) for fold in folds.folds] == [200, 200, 200]
    for fold in folds.folds:
        before, after = where(fold, plan, "when")
        assert max(before) < min(after)
        when = fold.held_out.matrix[:, plan.feature_names.index("when")]
        assert np.bincount(fold.held_out.related).tolist() == [7, 7, 6] * 10
        assert np.all(np.diff(fold.held_out.related[np.argsort(when)]) >= 0)


def test_in_time_a_fold_is_judged_with_the_rounds_of_the_fold_before() -> None:
    rows = table("binary", 800, 0).set_column(4, "when", pa.array(np.arange(800.0)))
    late = table("binary", 200, 1).set_column(4, "when", pa.array(800.0 + np.arange(200)))
    _, folds = layout(rows, late, time_column="when")
    limits = Limits(60, 2, math.inf, Event())
    arena = Arena.of(folds, folds.folds, 16, 1)
    found = evaluate(arena, BOOSTER, limits)
    bests, losses = [], []
    for fold, (training, held_out) in zip(folds.folds, arena.matrices, strict=True):
        patience = 2
        if bests:
            patience = max(patience, bests[-1])
            margins = xgb.train(BOOSTER, training, bests[-1]).predict(held_out, output_margin=True)
            losses.append(row_losses(BOOSTER, margins, fold.held_out.y))
        stopped = xgb.train(
            BOOSTER, training, 60, evals=[(held_out, "")], early_stopping_rounds=patience,
            verbose_eval=False,
        )  # fmt: skip
        bests.append(stopped.best_iteration + 1)
    assert bests[1] != bests[2]
    assert found.losses == pytest.approx(np.concatenate(losses))  # the first fold judges nothing
    assert found.rounds == bests[1]
    assert len(set(found.related)) == 60


def test_a_cut_within_a_moment_is_a_split_in_time_all_the_same() -> None:
    rows = table("binary", 400, 0).set_column(4, "when", pa.array(np.arange(400.0)))
    late = table("binary", 100, 1).set_column(4, "when", pa.array(399.0 + np.arange(100)))
    assert layout(rows, late, time_column="when")[1].scheme == "time order"


def test_a_table_that_was_not_split_in_time_has_no_folds_in_time() -> None:
    parts = table("binary", 400, 0), table("binary", 100, 1)
    assert layout(*parts, time_column="when")[1].scheme == "cross-validation"
    large = table("binary", 4_500, 0), table("binary", 700, 1)
    _, folds = layout(*large)
    assert folds.scheme == "validation split"
    assert [len(fold.training.y) for fold in folds.folds] == [4_500]


@pytest.mark.parametrize(
    ("rows", "seconds", "scheme"),
    [
        (700, 5, "validation split"),
        (700, 300, "cross-validation"),
        (15_500, 36_000, "validation split"),
    ],
)
def test_a_table_of_thousands_has_folds_where_there_is_time_for_them(
    rows: int, seconds: float, scheme: str
) -> None:
    assert layout(table("binary", 4_500, 0), table("binary", rows, 1), seconds)[1].scheme == scheme


def test_a_time_column_that_is_not_there_is_named() -> None:
    rows = table("binary", 400, 0)
    with pytest.raises(DataError, match=r"'wen'.*'when'"):
        layout(rows, rows, time_column="wen")


def test_a_table_beyond_memory_is_tuned_on_rows_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipway.components.tune.folds.rows_that_fit", lambda features: 2_600)
    _, folds = layout(table("binary", 4_500, 0), table("binary", 700, 1))
    (fold,) = folds.folds
    assert (len(fold.training.y), len(fold.held_out.y)) == (2_250, 350)


def test_no_fold_has_features_that_know_its_labels() -> None:
    """Labels are noise and shops have three rows each: their mean label must say nothing."""
    plan, folds = layout(table("noise", 1_500, 0), table("noise", 300, 1))
    index = plan.feature_names.index("shop=mean")
    for fold in folds.folds:
        mean_of_label = fold.held_out.matrix[:, index]
        assert abs(np.corrcoef(mean_of_label, fold.held_out.y)[0, 1]) < 0.15
    # The plan itself, fitted on those rows, knows them by heart.
    rows = table("noise", 1_500, 0)
    y = plan.target.encode(rows["label"])
    assert np.corrcoef(plan.transform(rows)[:, index], y)[0, 1] > 0.4
