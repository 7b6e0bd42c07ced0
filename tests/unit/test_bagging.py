"""A bag of folds, merged into one booster that any XGBoost loads."""

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.features.logic import fit
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.model_package import check_golden, load_package
from shipway.components.lib.parameters import settings_for
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.tables import read_table, write_table
from shipway.components.lib.task import Target
from shipway.components.predictor.margins import FastMargins
from shipway.components.train import bagging, logic
from shipway.components.train.logic import train
from shipway.components.train.merging import merged
from shipway.components.train.request import Request

QUICK = {"num_boost_round": 30.0, "early_stopping_rounds": 5.0, "eta": 0.3, "nthread": 1.0}
OBJECTIVES = [
    "binary:logistic", "multi:softprob", "reg:squarederror", "reg:absoluteerror",
    "reg:quantileerror", "count:poisson", "reg:gamma", "reg:tweedie", "rank:ndcg",
]  # fmt: skip


def rows_of(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(count, 4)).astype(np.float32)
    matrix[draw.random(matrix.shape) < 0.1] = np.nan
    return matrix, np.nan_to_num(matrix[:, 0]) + np.nan_to_num(matrix[:, 1]) ** 2


def members_of(objective: str, matrix: np.ndarray, score: np.ndarray) -> list[xgb.Booster]:
    labels = {
        "binary:logistic": score > 1,
        "multi:softprob": np.digitize(score, [0.3, 1.2]),
        "rank:ndcg": score > 1,
        "count:poisson": np.random.default_rng(1).poisson(np.exp(score.clip(-2, 2))),
    }
    y = labels.get(objective, np.exp(score / 3)).astype(float)
    more = {"quantile_alpha": [0.05, 0.5, 0.95]} if objective == "reg:quantileerror" else {}
    more |= {"num_class": 3} if objective == "multi:softprob" else {}
    parameters = {"objective": objective, "nthread": 1, "eta": 0.3, "max_depth": 3} | more
    found = []
    for fold in range(3):
        inside = np.flatnonzero(np.arange(len(y)) % 3 != fold)
        queries = {"qid": inside // 20} if objective == "rank:ndcg" else {}
        known = xgb.QuantileDMatrix(matrix[inside], y[inside], **queries)
        found.append(xgb.train(parameters | {"seed": fold}, known, 4 + fold))
    return found


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_merged_booster_answers_as_the_mean_of_its_members(
    objective: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    matrix, score = rows_of()
    members = members_of(objective, matrix, score)
    merged(members).save_model(tmp_path / "model.ubj")
    whole = xgb.Booster(model_file=tmp_path / "model.ubj")  # as plain XGBoost loads it
    rows = xgb.DMatrix(matrix)
    mean = np.mean([one.predict(rows, output_margin=True) for one in members], axis=0)
    margins = whole.predict(rows, output_margin=True)
    np.testing.assert_allclose(margins, mean, atol=1e-5)
    shares = whole.predict(rows, pred_contribs=True)
    np.testing.assert_allclose(shares.sum(axis=-1), margins, atol=1e-5)
    assert whole.num_boosted_rounds() == 4 + 5 + 6
    # The server's lean path walks it, to the bit.
    served = xgb.Booster(model_file=tmp_path / "model.ubj")
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(FastMargins(served, matrix)(matrix[:1]), margins[:1])
    assert "slow way" not in caplog.text


def test_members_of_different_rounds_weigh_alike() -> None:
    matrix, score = rows_of()
    long, short = members_of("reg:squarederror", matrix, score)[:2]
    rows = xgb.DMatrix(matrix)
    both = merged([long, short[:1]]).predict(rows)
    np.testing.assert_allclose(both, (long.predict(rows) + short[:1].predict(rows)) / 2, atol=1e-5)


def table(label: str, rows: int, seed: int, first: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=rows)
    score = x + draw.normal(scale=0.7, size=rows)
    labels = {
        "binary": np.where(score > 0, "yes", "no"),
        "multiclass": np.array(["low", "mid", "top"])[np.digitize(score, [-0.5, 0.7])],
        "regression": 100 + 20 * score,
    }
    group = draw.integers(0, 40, rows)
    return pa.table(
        {
            "x": x,
            "shop": [f"shop {i}" for i in draw.integers(0, 60, rows)],
            "group": [f"g{i}" for i in group],
            "twin": group * 1.5,
            "when": first + np.arange(rows, dtype=float),
            "label": labels[label],
        }
    )


def place(path: Path, label: str = "binary", **columns: str) -> Path:
    write_table(table(label, 400, 0), path / "train")
    write_table(table(label, 100, 1, first=400), path / "validation")
    fit(path / "train", "label", path / "plan", path / "features.html", **columns)
    return path


def run(path: Path, name: str, **more: object) -> dict[str, float]:
    inputs = path / "train", path / "validation", path / "plan"
    request = Request("m", QUICK, **({"quality": "best"} | more))
    return train(*inputs, path / name, path / f"{name}.html", request).metrics


@pytest.mark.parametrize(
    ("label", "objective"),
    [("binary", "auto"), ("multiclass", "auto"), ("regression", "quantile")],
)
def test_best_quality_makes_a_package_as_any_other(
    tmp_path: Path, label: str, objective: str
) -> None:
    metrics = run(place(tmp_path, label), "best", objective=objective)
    package = load_package(tmp_path / "best")
    assert check_golden(package) <= 1e-6
    assert metrics["members"] == 10
    assert package.manifest["quality"] == "best"
    assert package.booster.num_boosted_rounds() == metrics["rounds"]
    if label == "regression":
        held = Scorer(package.booster, package.signature).score_table(
            read_table(tmp_path / "validation")
        )
        y = read_table(tmp_path / "validation")["label"].to_numpy()
        inside = (held.interval[:, 0] <= y) & (y <= held.interval[:, 1])
        assert inside.mean() == pytest.approx(0.9, abs=0.02)
    page = (tmp_path / "best.html").read_text(encoding="utf-8")
    assert "A bag of 10" in page
    assert "held out, fold 10" in page


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the last training, which validation rows teach, too."""
    monkeypatch.setattr(logic, "worth_it", lambda *_: False)


@pytest.mark.usefixtures("once")
def test_no_member_sees_the_validation_rows(tmp_path: Path) -> None:
    """Other validation labels choose another threshold, and leave the trees as they are."""
    here = place(tmp_path)
    run(here, "one")
    other = table("binary", 100, 1, first=400)
    flipped = pa.array(["no" if v.as_py() == "yes" else "yes" for v in other["label"]])
    write_table(other.set_column(5, "label", flipped), here / "validation")
    run(here, "two")
    one, two = (json.loads((here / name / "manifest.json").read_text()) for name in ("one", "two"))
    assert one["files"]["model.ubj"] == two["files"]["model.ubj"]
    assert one["files"]["signature.json"] != two["files"]["signature.json"]


@pytest.mark.parametrize(
    "columns", [{}, {"group_column": "group"}, {"time_column": "when"}], ids=str
)
def test_members_are_stopped_by_rows_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: dict[str, str]
) -> None:
    seen: list[tuple[np.ndarray, np.ndarray | None]] = []

    def watched(*given: object) -> object:
        for inside, outside in folds(*given):
            seen.append((inside, outside))
            yield inside, outside

    folds = bagging._folds
    monkeypatch.setattr(bagging, "_folds", watched)
    here = place(tmp_path, **columns)
    run(here, "best", time_column=columns.get("time_column", ""))
    rows = StoredTable(here / "train")
    twin, when = (rows.column(name).to_numpy() for name in ("twin", "when"))
    if "time_column" in columns:  # the last one is trained on all rows, and stopped by later ones
        inside, outside = seen.pop()
        assert len(inside) == rows.num_rows
        assert outside is None
        assert len(seen) == 2
    for inside, outside in seen:
        assert not set(inside) & set(outside)
        if "group_column" in columns:
            assert not set(twin[inside]) & set(twin[outside])
        if "time_column" in columns:
            assert when[inside].max() < when[outside].min()


@pytest.mark.usefixtures("once")
def test_a_fold_without_one_of_the_classes_is_left_out(tmp_path: Path) -> None:
    here = place(tmp_path)
    rare = pa.array(["yes"] + ["no"] * (StoredTable(here / "train").num_rows - 1))
    rows = read_table(here / "train")
    write_table(rows.set_column(5, "label", rare), here / "train")
    fit(here / "train", "label", here / "plan", here / "features.html")
    run(here, "best")
    package = load_package(here / "best")
    assert "A bag of 9" in (here / "best.html").read_text(encoding="utf-8")
    scorer = Scorer(package.booster, package.signature)
    said = scorer.margins(scorer.plan.transform(read_table(here / "validation")))
    assert -8 < np.median(said) < -3  # about one in 400, and not one in a million


def test_fast_takes_larger_steps_and_what_is_set_stands() -> None:
    target = Target("regression")
    fast, standard = (
        settings_for(target, 9_000, {"subsample": 0.5}, 0, quality=one)
        for one in ("fast", "standard")
    )
    assert fast.booster["eta"] > standard.booster["eta"]
    assert (fast.rounds, fast.patience) < (standard.rounds, standard.patience)
    assert fast.booster["subsample"] == standard.booster["subsample"] == 0.5
    assert settings_for(target, 9_000, {"eta": 0.01}, 0, quality="fast").booster["eta"] == 0.01
    assert settings_for(target, 9_000, {}, 0, quality="best") == settings_for(target, 9_000, {}, 0)


def test_an_unknown_quality_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'bests'.*'best'"):
        run(place(tmp_path), "model", quality="bests")
