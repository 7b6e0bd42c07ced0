"""A ranking through the steps: split, features, train, tune, evaluate, bless, explain, card."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.bless.logic import bless
from shipway.components.evaluate.logic import evaluate
from shipway.components.evaluate.queries import as_shown, query_views
from shipway.components.evaluate.samples import sample_rows
from shipway.components.evaluate.stability import stability
from shipway.components.explain.logic import explain
from shipway.components.features.logic import fit
from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.held_out import HeldOut, score_held_out
from shipway.components.lib.metrics import compute_metrics
from shipway.components.lib.model_package import load_package
from shipway.components.lib.model_store import open_store
from shipway.components.lib.parameters import settings_for
from shipway.components.lib.queries import with_queries
from shipway.components.lib.scoring import Prediction, Scorer
from shipway.components.lib.tables import read_table, write_table
from shipway.components.lib.task import Target
from shipway.components.split.logic import Request as Split
from shipway.components.split.logic import split
from shipway.components.train.logic import train
from shipway.components.train.request import Request
from shipway.components.tune.folds import folds_of
from shipway.components.tune.logic import tune
from shipway.components.tune.request import Request as Search
from tests.searches import searches

QUERIES = 220
QUICK = {"nthread": 1.0, "max_bin": 64.0, "num_boost_round": 40.0, "eta": 0.3}


def divided(folder: Path, table: pa.Table, **options: Any) -> tuple[str, list[dict[str, Any]]]:
    """Split a table; returns the gate's verdict and rules."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(table, folder / "data")
    request = Split("grade", **({"group_column": "search", "task": "ranking"} | options))
    paths = {name: folder / name for name in ("train", "validation", "test")}
    found = split(folder / "data", request, paths, folder / "split.json", folder / "split.html")
    return found[0], json.loads((folder / "split.json").read_text())["rules"]


def learnt(folder: Path, **options: Any) -> Path:
    """Fit and train on the splits of a folder."""
    fit(
        folder / "train", "grade", folder / "plan", folder / "plan.html", "ranking",
        group_column="search",
    )  # fmt: skip
    tables = folder / "train", folder / "validation", folder / "plan"
    request = Request("search", QUICK, **options)
    train(*tables, folder / "model", folder / "train.html", request)
    return folder


def shuffled(table: pa.Table, rows: np.ndarray | None = None) -> pa.Table:
    """The table with the grades of some rows, or all, drawn from each other."""
    grade = table["grade"].to_numpy().copy()
    chosen = np.arange(len(grade)) if rows is None else np.flatnonzero(rows)
    grade[chosen] = np.random.default_rng(0).permutation(grade[chosen])
    return table.set_column(table.column_names.index("grade"), "grade", pa.array(grade))


def judged(folder: Path, store: str = "") -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Evaluate and bless; returns the verdict, the evaluation and the rules by name."""
    evaluation = folder / "evaluation.json"
    evaluate(
        folder / "model", folder / "test", evaluation, folder / "evaluation.html",
        train=folder / "train", protected_columns=["device"], slice_columns=["intent", "price"],
    )  # fmt: skip
    verdict = bless(
        evaluation, folder / "model", folder / "test", folder / "decision.json",
        folder / "bless.html", model_name="search", model_store=store,
    )  # fmt: skip
    rules = json.loads((folder / "decision.json").read_text())["rules"]
    return verdict, json.loads(evaluation.read_text()), {rule["name"]: rule for rule in rules}


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranking") / "first"
    divided(folder, searches(QUERIES))
    return learnt(folder)


def test_a_query_never_straddles_splits(ranked: Path) -> None:
    parts = [read_table(ranked / name, ["search"])[0] for name in ("train", "validation", "test")]
    queries = [set(part.to_pylist()) for part in parts]
    assert len(set.union(*queries)) == sum(map(len, queries)) == QUERIES
    rule = {r["name"]: r for r in json.loads((ranked / "split.json").read_text())["rules"]}
    assert f"{QUERIES} queries" in rule["queries"]["sentence"]


def test_the_query_is_no_feature_and_the_page_says_what_does_not_apply(ranked: Path) -> None:
    signature = load_package(ranked / "model").signature
    assert [f.name for f in signature.features] == ["intent", "device", "match", "price", "age"]
    assert "search" in signature.ignored
    assert signature.threshold is None
    assert "calibration and threshold" in (ranked / "train.html").read_text()
    golden = load_package(ranked / "model").golden
    assert set(golden["rows"][0]) == {"intent", "device", "match", "price", "age"}
    assert set(golden["outputs"][0]) == {"value"}


def test_it_beats_the_baselines_and_is_blessed(ranked: Path, tmp_path: Path) -> None:
    verdict, found, rules = judged(ranked)
    assert verdict == "blessed"
    assert found["main_metric"] == "ndcg@10"
    assert set(found["metrics"]) == {"ndcg@5", "ndcg@10", "map@10", "mrr"}
    assert set(found["baselines"]) == {"constant", "one_rule", "linear"}
    assert all(gains["ndcg@10"]["low"] > 0 for gains in found["gains"].values())
    assert rules["test_queries"]["verdict"] == rules["better_than_linear"]["verdict"] == "pass"
    assert "a random order" in rules["better_than_constant"]["sentence"]
    assert {"intent=cheap", "intent=best"} <= {part["slice"] for part in found["slices"]}
    assert found["ranking"]["queries"] == len(
        set(read_table(ranked / "test")["search"].to_pylist())
    )
    assert found["ranking"]["first"][0]["lift"] > 1.5
    assert len(found["ranking"]["worst"]) == 10
    assert found["fairness"][0]["groups"][0]["rates"]["selection_rate"]["n"] > 0
    assert found["calibration"] == []
    assert found["learning_curve"]["points"]
    page = (ranked / "evaluation.html").read_text()
    assert "not applicable" in page
    assert "a score alone is no answer that could turn" in page
    assert "bootstrap over the queries" in page


def test_the_champion_is_held_against_it_query_by_query(ranked: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.promote("search", store.register("search", ranked / "model", {}), None)
    shutil.copytree(ranked, tmp_path / "second")
    _, _, rules = judged(learnt(tmp_path / "second", seed=1), str(tmp_path / "store"))
    assert rules["champion"]["verdict"] == "pass"
    assert "ndcg@10" in rules["champion"]["sentence"]


def test_shuffled_labels_are_rejected(ranked: Path, tmp_path: Path) -> None:
    for name in ("train", "validation", "test"):
        write_table(shuffled(read_table(ranked / name)), tmp_path / name)
    verdict, _, rules = judged(learnt(tmp_path))
    assert verdict == "rejected"
    assert rules["better_than_constant"]["verdict"] == "fail"


def test_a_planted_weak_slice_of_queries_is_found(ranked: Path, tmp_path: Path) -> None:
    table = searches(900, seed=5)
    device = np.array(table["device"].to_pylist())
    write_table(shuffled(table, device == "watch"), tmp_path / "test")
    evaluate(ranked / "model", tmp_path / "test", tmp_path / "evaluation", tmp_path / "page")
    found = json.loads((tmp_path / "evaluation").read_text())["regions"]["found"]
    assert found
    assert all(region["slice"].startswith("device = watch") for region in found)
    assert found[0]["metrics"]["ndcg@10"] < 0.7
    assert found[0]["evidence"]["n"] < found[0]["n"]  # queries, and their rows


def test_an_explanation_adds_up_to_the_score(ranked: Path, tmp_path: Path) -> None:
    explain(ranked / "model", ranked / "test", tmp_path / "why.json", tmp_path / "why.html")
    found = json.loads((tmp_path / "why.json").read_text())
    assert {column["column"] for column in found["columns"][:3]} == {"intent", "match", "price"}
    assert "of the score" in found["summary"][0]


def test_golden_rows_are_answered_alike_in_batch_and_row_by_row(ranked: Path) -> None:
    package = load_package(ranked / "model")
    scorer = Scorer(package.booster, package.signature)
    held = score_held_out(package, ranked / "test")
    one_by_one = [scorer.plan.row_transformer()(row) for row in package.golden["rows"]]
    values = [output["value"] for output in package.golden["outputs"]]
    assert scorer.score_matrix(np.stack(one_by_one)).values.tolist() == values
    table = read_table(ranked / "test").drop_columns(["search", "grade"])
    assert scorer.score_table(table).values.tolist() == held.prediction.values.tolist()


def test_trials_are_judged_by_whole_queries(ranked: Path, tmp_path: Path) -> None:
    from shipway.components.lib.features import FeaturePlan
    from shipway.components.lib.stored_table import StoredTable

    tables = ranked / "train", ranked / "validation", ranked / "plan"
    plan = FeaturePlan.read(tables[2])
    folds = folds_of(plan, StoredTable(tables[0]), StoredTable(tables[1]))
    assert folds.scheme == "cross-validation"
    for fold in [*folds.folds, folds.folds[0].sampled(300, 0)]:
        parts = [block.y["query"] for block in (fold.training, fold.held_out)]
        assert all((np.diff(codes) >= 0).all() for codes in parts)
    assert sum(len(np.unique(fold.held_out.y["query"])) for fold in folds.folds) > 130
    request = Search(QUICK | {"num_boost_round": 15.0}, seconds=60, trials=2, jobs=1)
    found = tune(*tables, tmp_path / "study", tmp_path / "page", request, tmp_path / "journal")
    assert 0.5 < found.metadata["ndcg@10"] <= 1
    losses = [trial["loss"] for trial in json.loads((tmp_path / "study").read_text())["trials"]]
    assert all(0.5 < loss <= 1 for loss in losses if loss)


def test_weights_are_those_of_whole_queries(tmp_path: Path) -> None:
    table = searches(60)
    heavy = np.array([1.0 + len(name) for name in table["search"].to_pylist()])
    for name, weights in (("whole", heavy), ("torn", np.arange(len(heavy)) + 1.0)):
        folder = tmp_path / name
        divided(folder, table.append_column("weight", pa.array(weights)))
        fit(
            folder / "train", "grade", folder / "plan", folder / "page", "ranking",
            group_column="search", weight_column="weight",
        )  # fmt: skip
        request = Request("search", QUICK | {"num_boost_round": 3.0})
        files = [folder / n for n in ("train", "validation", "plan", "model", "page")]
        if name == "whole":
            assert train(*files, request).metrics["rounds"] <= 3
        else:
            with pytest.raises(DataError, match="Give all rows of a query one weight"):
                train(*files, request)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_column": ""}, "task='ranking' needs group_column"),
        ({"strategy": "time", "time_column": "age"}, "would tear queries apart"),
        ({"strategy": "stratified"}, "would tear queries apart"),
    ],
)
def test_a_split_that_is_none_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        divided(tmp_path, searches(20), **options)


def test_rows_without_a_query_are_refused(tmp_path: Path) -> None:
    table = searches(20)
    holes = pa.array([None, *table["search"].to_pylist()[1:]])
    with pytest.raises(DataError, match="names the query but is missing in 1 of"):
        divided(tmp_path, table.set_column(0, "search", holes))


@pytest.mark.parametrize(
    ("given", "quality", "message"),
    [
        ({"external_memory": 1.0}, "standard", "takes no external_memory: a query"),
        ({"balance_classes": 1.0}, "standard", "which is for a classification; this is a ranking"),
        ({}, "best", "takes no quality='best'"),
    ],
)
def test_what_does_not_go_with_a_ranking_is_refused(
    given: dict[str, float], quality: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        settings_for(Target("ranking"), 100, given, 0, quality=quality)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2}, "trains on one worker"),
        ({"threshold_rule": "recall>=0.5"}, "a ranking model has no threshold"),
        ({"objective": "tweedie"}, "is for a regression; this task is ranking"),
    ],
)
def test_a_training_that_a_ranking_has_not_is_refused(
    ranked: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    inputs = ranked / "train", ranked / "validation", ranked / "plan"
    with pytest.raises(ConfigurationError, match=message):
        train(*inputs, tmp_path / "model", tmp_path / "page", Request("search", {}, **options))


def test_samples_take_all_rows_of_a_query_or_none(tmp_path: Path) -> None:
    table = searches(200)
    write_table(table, tmp_path / "rows")
    some = sample_rows(tmp_path / "rows", 1_000, whole="search")
    counts = {q: table["search"].to_pylist().count(q) for q in set(some["search"].to_pylist())}
    assert sum(counts.values()) == some.num_rows
    assert 600 < some.num_rows < 1_500


def test_one_query_is_sure_of_nothing(tmp_path: Path) -> None:
    write_table(pa.table({"search": ["one"] * 30, "grade": [1] + [0] * 29}), tmp_path / "test")
    y = with_queries(np.array([1] + [0] * 29), np.zeros(30))
    said = Prediction(values=np.arange(30.0))
    (alone,) = query_views(tmp_path / "test", HeldOut(Target("ranking"), y, said, {}, "search"))[
        "by_size"
    ]
    assert (alone["low"], alone["high"]) == (0.0, 1.0)


def test_one_score_for_all_rows_brings_nobody_to_the_first_places(tmp_path: Path) -> None:
    grades, queries = np.tile([1.0, 1.0, 0, 0, 0, 0, 0, 0], 300), np.repeat(np.arange(300), 8)
    write_table(pa.table({"search": queries}), tmp_path / "test")
    same = Prediction(values=np.ones(2_400))
    shown = HeldOut(Target("ranking"), with_queries(grades, queries), same, {}, "search")
    for one in query_views(tmp_path / "test", shown)["first"]:
        assert one["low"] < one["usual"] < one["high"]


def test_no_period_tears_a_query(tmp_path: Path) -> None:
    draw, queries = np.random.default_rng(0), np.repeat(np.arange(200), 10)
    grades = (draw.random(2_000) < 0.3).astype(float)
    said = Prediction(values=grades + draw.normal(size=2_000))
    write_table(pa.table({"at": draw.random(2_000)}), tmp_path / "test")  # of each row its own
    shown = HeldOut(Target("ranking"), with_queries(grades, queries), said, {}, "search")
    whole = compute_metrics(shown.target, shown.y, said)["ndcg@10"]
    periods = stability(tmp_path / "test", "at", shown)["periods"]
    assert sum(period["n"] for period in periods) == 2_000
    assert all(period["value"] == pytest.approx(whole, abs=0.07) for period in periods)


def test_fairness_is_about_who_is_shown_first() -> None:
    y = with_queries(np.array([1, 0, 0, 2]), np.zeros(4))
    shown = as_shown(HeldOut(Target("ranking"), y, Prediction(values=np.array([4.0, 3, 2, 1])), {}))
    assert shown.prediction.labels.tolist() == [1, 1, 0, 0]
    assert shown.y.tolist() == [1, 0, 0, 1]
