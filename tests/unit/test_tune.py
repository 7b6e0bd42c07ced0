import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.features.logic import fit
from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.folds import drawn_folds
from shipway.components.lib.losses import mean, row_losses, shown
from shipway.components.lib.parameters import settings_for
from shipway.components.lib.stored_table import StoredTable
from shipway.components.lib.tables import write_table
from shipway.components.lib.task import Target
from shipway.components.tune.choice import Finalist, smallest_of_the_best
from shipway.components.tune.folds import Fold, folds_of
from shipway.components.tune.journal import open_journal
from shipway.components.tune.layout import layout_of
from shipway.components.tune.logic import Tuned, tune
from shipway.components.tune.request import Request
from shipway.components.tune.search import open_study
from shipway.components.tune.space import Space, rounded, space_for
from shipway.components.tune.trials import Result

FIXED = {"num_boost_round": 12.0, "early_stopping_rounds": 5.0, "eta": 0.3, "nthread": 1.0}
FIXED |= {"max_bin": 32.0}
QUICK = Request(FIXED, seconds=120, trials=3, jobs=1)
# A process of its own, so that it can be killed: `python -c CODE folder trials round`.
CODE = """
import sys
from pathlib import Path
from shipway.components.tune.logic import tune
from shipway.components.tune.request import Request
here, trials, rounds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
fixed = {"num_boost_round": rounds, "early_stopping_rounds": 5.0, "eta": 0.3, "nthread": 1.0}
tables = [here / name for name in ("train", "validation", "plan")]
outputs = here / "study", here / "study.html"
request = Request(fixed | {"max_bin": 32.0}, seconds=120, trials=trials, jobs=1)
tune(*tables, *outputs, request, here / "study.journal")
"""


def table(label: str, rows: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    x, z = draw.normal(size=(2, rows))
    score = x * (z > 0) + draw.normal(scale=0.5, size=rows)
    labels = {
        "binary": np.where(score > 0, "yes", "no"),
        "multiclass": np.array(["low", "mid", "top"])[np.digitize(score, [-0.5, 0.7])],
        "regression": 100 + 20 * score,
        "noise": draw.permutation(np.where(score > 0, "yes", "no")),
    }
    return pa.table(
        {
            "x": x,
            "z": z,
            "shop": [f"shop {i}" for i in draw.integers(0, rows // 3, rows)],
            "label": labels[label],
            "when": draw.permutation(rows).astype(float),
        }
    )


def place(path: Path, label: str = "binary", rows: int = 300) -> Path:
    path.mkdir(exist_ok=True)
    write_table(table(label, rows, 0), path / "train")
    write_table(table(label, rows // 2, 1), path / "validation")
    fit(path / "train", "label", path / "plan", path / "features.html")
    return path


def run(path: Path, request: Request = QUICK) -> Tuned:
    inputs = path / "train", path / "validation", path / "plan"
    return tune(*inputs, path / "study", path / "study.html", request, path / "study.journal")


def study_of(path: Path) -> dict:
    return json.loads((path / "study").read_text())


def found(path: Path) -> list[tuple]:
    """What a study came to, without its times."""
    trials = study_of(path)["trials"]
    return [(t["state"], t["loss"], t["rounds"], sorted(t["parameters"].items())) for t in trials]


@pytest.mark.parametrize("label", ["binary", "multiclass", "regression"])
def test_tuning_ends_with_parameters_that_training_takes(tmp_path: Path, label: str) -> None:
    result = run(place(tmp_path, label))
    study = study_of(tmp_path)
    assert study["judged_by"] == "cross-validation"
    assert len(study["trials"]) == QUICK.trials
    names = {one["name"]: one for one in study["finalists"]}
    assert "defaults" in names
    assert study["chosen"] in names
    assert all(math.isfinite(one["loss"]) for one in names.values())
    assert result.parameters == study["parameters"]
    assert result.parameters.items() >= {**FIXED, "num_boost_round": 12.0}.items()
    settings_for(Target("regression"), 500, result.parameters, 0)
    assert all(isinstance(value, (str, float)) for value in result.metadata.values())
    page = (tmp_path / "study.html").read_text()
    assert "What the budget bought" in page
    assert "History" in page
    assert len(page.encode()) < 1_000_000


@pytest.mark.parametrize("budget", [{"seconds": 0}, {"trials": 0}])
def test_without_a_budget_parameters_are_passed_on_at_once(tmp_path: Path, budget: dict) -> None:
    inputs = [tmp_path / name for name in ("train", "validation", "plan")]  # not even read
    outputs = tmp_path / "study", tmp_path / "page", replace(QUICK, **budget), tmp_path / "journal"
    assert tune(*inputs, *outputs).parameters == FIXED
    assert not (tmp_path / "journal").exists()
    assert study_of(tmp_path) == {"tuned": False, "parameters": FIXED}


def test_one_seed_and_one_job_give_one_result(tmp_path: Path) -> None:
    results = {}
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        here = place(tmp_path / name)
        results[name] = run(here, replace(QUICK, seed=seed)).parameters, found(here)
    assert results["one"] == results["same"]
    assert results["one"][1] != results["other"][1]


def test_what_is_set_is_not_searched(tmp_path: Path) -> None:
    fixed = FIXED | {"max_depth": 2.0, "subsample": 0.9, "reg_lambda": 7.0}
    asked = {
        {"eta": "learning_rate", "reg_lambda": "lambda"}.get(n, n): v for n, v in fixed.items()
    }
    result = run(place(tmp_path), replace(QUICK, parameters=asked, trials=2))
    assert result.parameters.items() >= fixed.items()
    assert not study_of(tmp_path)["space"].keys() & fixed.keys()


def test_a_parameter_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'max_dept'.*'max_depth'"):
        run(place(tmp_path), replace(QUICK, parameters={"max_dept": 3.0}))
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    "budget", [{"seconds": -1}, {"trials": -1}, {"jobs": -1}], ids=lambda budget: next(iter(budget))
)
def test_a_negative_budget_is_refused(tmp_path: Path, budget: dict) -> None:
    with pytest.raises(ConfigurationError, match="must be 0 or more"):
        run(tmp_path, replace(QUICK, **budget))


def test_the_clock_is_kept_to_though_no_trial_ends(tmp_path: Path) -> None:
    slow = {"num_boost_round": 1e6, "early_stopping_rounds": 1e6, "eta": 1e-6, "nthread": 1.0}
    here = place(tmp_path)
    began = time.monotonic()
    result = run(here, Request(slow, seconds=3, trials=9, jobs=1))
    assert time.monotonic() - began < 15
    assert result.parameters == slow
    assert "as they were given" in study_of(here)["verdict"]


def started(path: Path, trials: int, rounds: float, ended: int) -> subprocess.Popen:
    """A tuning process that has brought some trials to an end."""
    process = subprocess.Popen([sys.executable, "-c", CODE, str(path), str(trials), str(rounds)])
    journal = path / "study.journal"
    deadline = time.monotonic() + 150
    while not (journal.exists() and journal.read_text().count('"datetime_complete"') >= ended):
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_a_killed_search_goes_on_to_the_result_it_would_have_had(tmp_path: Path) -> None:
    one, other = place(tmp_path / "one"), place(tmp_path / "other")
    process = started(one, 8, 15, ended=3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (one / "study").exists()
    with (one / "study.journal").open("a") as journal:  # killed in the middle of a line
        journal.write('{"op_code": 5, "worker')
    fixed = FIXED | {"num_boost_round": 15.0}
    request = replace(QUICK, parameters=fixed, trials=8)
    assert run(one, request).parameters == run(other, request).parameters
    assert found(one) == found(other)
    numbers = [trial["number"] for trial in study_of(one)["trials"]]
    assert numbers[:3] == [0, 1, 2]  # those before the kill, and not again


def test_told_to_end_it_answers_with_the_best_so_far(tmp_path: Path) -> None:
    here = place(tmp_path)
    process = started(here, 10_000, 15, ended=4)
    process.terminate()
    assert process.wait(timeout=90) == 0
    study = study_of(here)
    assert study["interrupted"]
    best = min((t for t in study["trials"] if t["loss"] is not None), key=lambda t: t["loss"])
    assert 4 <= len(study["trials"]) < 1000
    assert "No candidate was trained" in study["verdict"]
    if best["number"]:
        assert best["parameters"].items() <= study["parameters"].items()
    else:  # the first has the values of the defaults
        assert study["parameters"].keys() == FIXED.keys()


def test_trials_at_a_time_see_what_one_alone_sees(tmp_path: Path) -> None:
    here = place(tmp_path)
    run(here, replace(QUICK, trials=5, jobs=3))
    by_parameters = {
        json.dumps(trial["parameters"]): trial["loss"] for trial in study_of(here)["trials"]
    }
    alone = place(tmp_path / "alone")
    run(alone, replace(QUICK, trials=1))
    (first,) = study_of(alone)["trials"]
    assert by_parameters[json.dumps(first["parameters"])] == first["loss"]


def test_another_table_starts_another_study(tmp_path: Path) -> None:
    here = place(tmp_path)
    run(here, replace(QUICK, trials=1))
    place(tmp_path, "regression")
    run(here, replace(QUICK, trials=2))
    assert len(study_of(here)["trials"]) == 2


def test_another_way_to_judge_starts_another_study(tmp_path: Path) -> None:
    rows = table("binary", 5_200, 0)
    late = rows["when"].to_numpy() >= 4_200
    write_table(rows.filter(pa.array(~late)), tmp_path / "train")
    write_table(rows.filter(pa.array(late)), tmp_path / "validation")
    fit(tmp_path / "train", "label", tmp_path / "plan", tmp_path / "features.html")
    for column in ("when", ""):  # the last fold in time is the given split
        run(tmp_path, replace(QUICK, trials=1, time_column=column))
    assert len(open_journal(tmp_path / "study.journal").get_all_studies()) == 2


@pytest.mark.parametrize("given", [{}, {"nthread": 3.0}])
def test_a_trial_with_a_machine_of_its_own_takes_all_threads_but_those_that_are_set(
    tmp_path: Path, given: dict
) -> None:
    here = place(tmp_path)
    tables = here / "train", here / "validation", here / "plan"
    alone = layout_of(*tables, replace(QUICK, parameters=given, jobs=0)).alone()
    assert alone.booster.get("nthread") == given.get("nthread")


@pytest.mark.parametrize("scale", [1.0, 3.98712345, 123_456.789])
def test_rounding_takes_no_parameter_out_of_its_range(scale: float) -> None:
    for name, one in space_for(300, scale, {}).ranges.items():
        space = Space({name: one}, 0.1, 0.1)
        ends = [rounded({name: end}, space)[name] for end in (one.low, one.high)]
        assert ends == [one.low, one.high]


def test_a_trial_that_was_running_is_not_counted(tmp_path: Path) -> None:
    open_study(tmp_path / "j", "s", 0, True).ask()
    again = open_study(tmp_path / "j", "s", 0, True)
    assert [trial.state.name for trial in again.get_trials()] == ["FAIL"]


def layout(rows: pa.Table, held_out: pa.Table, **more: str):
    target = Target("binary", ["no", "yes"], "yes")
    names = {name: more.get(name, "") for name in ("group_column", "time_column")}
    plan = fit_plan(rows, "label", target, **names)
    with tempfile.TemporaryDirectory() as folder:
        tables = [Path(folder) / name for name in ("train", "validation")]
        for part, path in zip((rows, held_out), tables, strict=True):
            write_table(part, path)
        stored = [StoredTable(path) for path in tables]
        return plan, folds_of(plan, *stored, time_column=names["time_column"])


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


OBJECTIVES = ["squared", "absolute", "quantile", "poisson", "tweedie", "gamma"]


@pytest.mark.parametrize("objective", ["binary", "multiclass", *OBJECTIVES])
def test_row_losses_average_to_what_xgboost_says(objective: str) -> None:
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(400, 3)).astype(np.float32)
    if objective in OBJECTIVES:
        target, name = Target("regression"), objective
        y = np.exp(matrix[:, 0] + draw.normal(scale=0.3, size=400)).astype(np.float32)
    else:
        classes = ["a", "b"] if objective == "binary" else ["a", "b", "c"]
        target, name = Target(objective, classes), "auto"
        y = np.digitize(matrix[:, 0], [0.0, 0.8][: len(classes) - 1])
    weights = draw.uniform(0.5, 2.0, 400)
    settings = settings_for(target, 400, {"nthread": 1.0, "eta": 0.3}, 0, name)
    rows = xgb.QuantileDMatrix(matrix, y, weight=weights, max_bin=settings.booster["max_bin"])
    said: dict = {}
    booster = xgb.train(settings.booster, rows, 8, [(rows, "t")], evals_result=said, verbose_eval=0)
    losses = row_losses(settings.booster, booster.predict(rows, output_margin=True), y)
    ours = shown(settings.booster, mean(losses, weights))
    theirs = next(iter(said["t"].values()))[-1]
    if objective == "poisson":  # theirs adds the logarithm of the label's factorial
        theirs -= float(np.average([math.lgamma(value + 1) for value in y], weights=weights))
    if objective == "gamma":
        return  # theirs knows a dispersion; ours is its part that margins change, tested below
    assert ours == pytest.approx(theirs, rel=2e-5)


def test_the_loss_of_gamma_is_least_at_the_truth() -> None:
    y = np.array([0.5, 1.0, 4.0])
    booster = {"objective": "reg:gamma"}
    at = {shift: row_losses(booster, np.log(y) + shift, y).sum() for shift in (-0.1, 0.0, 0.1)}
    assert at[0.0] == min(at.values())


def finalist(name: str, losses: np.ndarray, leaves: int) -> Finalist:
    result = Result(float(losses.mean()), 0.0, losses, None, 10, leaves, 1.0)
    return Finalist(name, {}, result)


def test_of_the_best_within_a_standard_error_the_smallest_is_taken() -> None:
    hard = np.random.default_rng(0).exponential(size=1_000)  # what is hard for all alike
    noise = np.random.default_rng(1).normal(scale=0.1, size=1_000)
    noise -= noise.mean()
    best = finalist("best", hard, 900)
    tied = finalist("tied", hard + noise + 0.002, 300)  # its error is 0.0032
    worse = finalist("worse", hard + noise + 0.005, 30)
    assert smallest_of_the_best([best, tied, worse]) is tied
    assert smallest_of_the_best([best, worse]) is best
