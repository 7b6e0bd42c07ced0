"""Studies that are killed, told to end, gone on with, or begun anew."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from shipway.components.features.logic import fit
from shipway.components.lib.tables import write_table
from shipway.components.tune.journal import open_journal
from shipway.components.tune.search import open_study
from tests.unit.tuning import FIXED, QUICK, found, place, run, study_of, table

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


def test_a_trial_that_was_running_is_not_counted(tmp_path: Path) -> None:
    open_study(tmp_path / "j", "s", 0, True).ask()
    again = open_study(tmp_path / "j", "s", 0, True)
    assert [trial.state.name for trial in again.get_trials()] == ["FAIL"]
