"""The tune step: what it answers, and what its wishes and its budget do."""

import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.parameters import settings_for
from shipway.components.lib.task import Target
from shipway.components.tune.layout import layout_of
from shipway.components.tune.logic import tune
from shipway.components.tune.request import Request
from shipway.components.tune.space import Space, rounded, space_for
from tests.unit.tuning import FIXED, QUICK, found, place, run, study_of


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


def test_without_a_budget_parameters_are_passed_on_at_once(tmp_path: Path) -> None:
    inputs = [tmp_path / name for name in ("train", "validation", "plan")]  # not even read
    outputs = tmp_path / "study", tmp_path / "page", replace(QUICK, seconds=0), tmp_path / "journal"
    assert tune(*inputs, *outputs).parameters == FIXED
    assert not (tmp_path / "journal").exists()
    assert "Give tuning_seconds" in (tmp_path / "page").read_text()
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


def test_katib_without_time_to_search_is_refused_with_the_cure() -> None:
    with pytest.raises(ConfigurationError, match=r"katib.*tuning_seconds, is 0.*tuning_seconds=\d"):
        Request(tuner="katib")


def test_the_clock_is_kept_to_though_no_trial_ends(tmp_path: Path) -> None:
    slow = {"num_boost_round": 1e6, "early_stopping_rounds": 1e6, "eta": 1e-6, "nthread": 1.0}
    slow |= {"max_depth": 20.0, "min_child_weight": 1e-3, "reg_lambda": 0.0}  # many leaves
    here = place(tmp_path, rows=3_000)
    began = time.monotonic()
    result = run(here, Request(slow, seconds=3, trials=9, jobs=1))
    assert time.monotonic() - began < 15
    assert result.parameters == slow
    assert "as they were given" in study_of(here)["verdict"]


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


def test_without_a_number_of_trials_a_search_ends_when_no_better_ones_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shipway.components.tune.search.STALE", 4)
    run(place(tmp_path), replace(QUICK, trials=0))
    losses = [trial["loss"] or math.inf for trial in study_of(tmp_path)["trials"]]
    assert losses.index(min(losses)) == len(losses) - 1 - 4
    run(tmp_path, replace(QUICK, trials=len(losses) + 2))  # a number that is given is kept to
    assert len(study_of(tmp_path)["trials"]) == len(losses) + 2
