"""Trainings of several processes, and trainings that are cut off: with real processes."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pytest
from xgboost.tracker import RabitTracker

from shipway.components.features.logic import fit
from shipway.components.lib.errors import ConfigurationError, DataError, WorkerError
from shipway.components.lib.model_package import check_golden, load_package
from shipway.components.lib.tables import write_table
from shipway.components.train import bagging, checkpoint
from shipway.components.train.logic import Trained, train
from shipway.components.train.request import Request

QUICK = {"num_boost_round": 40.0, "early_stopping_rounds": 8.0, "eta": 0.2, "max_depth": 4.0}
WHOLE = {"subsample": 1.0, "colsample_bytree": 1.0}
LONG = {"num_boost_round": 100_000.0, "early_stopping_rounds": 100_000.0, "eta": 0.001}


def table(rows: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    x, shop = draw.normal(size=rows), draw.integers(0, 60, rows)
    score = x + np.sin(shop) + draw.normal(size=rows)
    return pa.table(
        {
            "x": [None if i % 10 == 3 else float(v) for i, v in enumerate(x)],
            "shop": [f"shop {i}" for i in shop],
            "weight": draw.uniform(0.5, 2, rows),
            "label": np.where(score > 0, "yes", "no"),
        }
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KFP_POD_NAME", raising=False)
    write_inputs(tmp_path)
    return tmp_path


def write_inputs(here: Path) -> None:
    write_table(table(2_000, 0), here / "train")
    write_table(table(1_000, 1), here / "validation")
    fit(here / "train", "label", here / "plan", here / "f.html", weight_column="weight")


def run(
    here: Path, name: str, workers: int = 1, quality: str = "standard", **parameters: float
) -> Trained:
    tables = here / "train", here / "validation", here / "plan"
    request = Request("churn", QUICK | parameters, workers=workers, quality=quality)
    return train(*tables, here / name, here / f"{name}.html", request)


def start(
    here: Path, name: str, workers: int = 1, quality: str = "standard", **parameters: float
) -> subprocess.Popen:
    """The same in a process of its own, which keeps a checkpoint of each round."""
    code = f"""
from pathlib import Path
from shipway.components.train import checkpoint
from shipway.components.train.logic import train
from shipway.components.train.request import Request
checkpoint.SECONDS = 0.0
here = Path({str(here)!r})
request = Request("churn", {QUICK | parameters!r}, workers={workers}, quality={quality!r})
tables = here / "train", here / "validation", here / "plan"
train(*tables, here / {name!r}, here / "page.html", request)
"""
    scratch = here / "scratch"
    scratch.mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(scratch)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment)


def wait_until(what: Callable[[], object], seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.05)


def training(scratch: Path) -> bool:
    """Whether both workers hold their rows."""
    logs = [scratch.glob(f"shipway-workers-*/{rank}") for rank in (0, 1)]
    return all("takes rows" in file.read_text() for log in logs for file in log) and any(
        scratch.glob("shipway-workers-*/1")
    )


def alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_two_workers_make_as_good_a_model_as_one(here, caplog) -> None:
    caplog.set_level(logging.INFO, "shipway")
    alone, together = run(here, "alone"), run(here, "together", workers=2)
    package = load_package(here / "together")
    assert check_golden(package) <= 1e-6
    assert package.signature.plan == load_package(here / "alone").signature.plan
    assert together.metrics["auc"] == pytest.approx(alone.metrics["auc"], abs=0.01)
    assert together.metrics["training_rows"] == 2_000
    digests = re.findall(r"worker \d: rank \d of 2: (\d+ rounds, model [0-9a-f]{64})", caplog.text)
    assert len(digests) == 2
    assert len(set(digests)) == 1
    assert "resumed_at_round" not in alone.metadata | together.metadata
    assert not list(here.glob("*.checkpoints"))


SHARES_OF_A_LARGE_TABLE = """
import hashlib, json, sys
import numpy as np
import xgboost as xgb
from xgboost import collective
from shipway.components.train.matrices import matrices
rank = int(sys.argv[1])
with collective.CommunicatorContext(**json.loads(sys.argv[2]), dmlc_task_id=str(rank)):
    draw = np.random.default_rng(rank)
    features = (draw.normal(size=(4_000, 2)) + rank).astype(np.float32)
    y = (features.sum(axis=1) + draw.normal(size=4_000) > 1).astype(np.int32)
    features[draw.random((4_000, 2)) < 0.2] = np.nan
    with matrices(["a", "b"], 64, False) as make:
        matrix = make.training(lambda _: features, y, None, 1_000)
        parameters = {"objective": "binary:logistic", "max_bin": 64, "nthread": 1}
        booster = make.finished(xgb.train(parameters, matrix, 20))
print(hashlib.sha256(booster.save_raw("ubj")).hexdigest())
"""


def test_workers_agree_on_what_stands_for_missing_cells() -> None:
    tracker = RabitTracker(n_workers=2, host_ip="127.0.0.1", sortby="task")
    tracker.start()
    places = json.dumps(tracker.worker_args())
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SHARES_OF_A_LARGE_TABLE, str(rank), places],
            stdout=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    digests = [worker.communicate(timeout=120)[0].split()[-1] for worker in workers]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_worker_that_dies_is_named_and_takes_the_others_along(here, monkeypatch) -> None:
    scratch = here / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    started, popen = [], subprocess.Popen

    def recorded(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        return started[-1]

    def kill() -> None:
        wait_until(lambda: training(scratch))
        started[1].kill()

    monkeypatch.setattr(subprocess, "Popen", recorded)
    killer = Thread(target=kill)
    killer.start()
    with pytest.raises(WorkerError, match=r"Worker 1 of 2 was ended by SIGKILL(.|\n)*takes rows"):
        run(here, "model", workers=2, **LONG)
    killer.join()
    assert len(started) == 2
    assert all(worker.poll() is not None for worker in started)
    assert not (here / "model").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_step_that_is_ended_leaves_no_worker(here, sign) -> None:
    step = start(here, "model", workers=2, **LONG)
    wait_until(lambda: training(here / "scratch"))
    children = Path(f"/proc/{step.pid}/task/{step.pid}/children").read_text().split()
    step.send_signal(sign)
    assert step.wait(60) != 0
    assert len(children) == 2
    wait_until(lambda: not any(alive(int(pid)) for pid in children), 30)
    assert not (here / "model").exists()


def test_what_a_worker_cannot_read_is_the_error_of_the_step(here) -> None:
    broken = here / "train" / "part-00001.parquet"
    with pytest.raises(DataError, match="too few for 3000 workers"):
        run(here, "model", workers=3_000)
    with pytest.raises(ConfigurationError, match="training_workers=0 must be 1 or more"):
        run(here, "model", workers=0)
    assert not broken.exists()


def test_a_killed_training_goes_on_to_the_same_model(here) -> None:
    slow = WHOLE | {"num_boost_round": 120.0, "early_stopping_rounds": 30.0, "eta": 0.05}
    process = start(here, "model", **slow)
    slot = here / "model.checkpoints"
    wait_until(lambda: [f for f in slot.glob("*") if f.name[0] != "." and f.name[-3:] > "009"])
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (here / "model").exists()
    resumed, whole = run(here, "model", **slow), run(here, "whole", **slow)
    assert resumed.metadata["resumed_at_round"] >= 10
    assert (here / "model/model.ubj").read_bytes() == (here / "whole/model.ubj").read_bytes()
    facts = ("rounds", "log_loss", "auc")
    assert [resumed.metrics[f] for f in facts] == [whole.metrics[f] for f in facts]
    assert not list(here.glob("*.checkpoints"))


def test_a_killed_bag_keeps_the_members_that_were_finished(here) -> None:
    slow = WHOLE | {"num_boost_round": 60.0, "early_stopping_rounds": 30.0, "eta": 0.05}
    process = start(here, "model", quality="best", **slow)
    slot = here / "model.checkpoints"
    wait_until(lambda: len(list(slot.glob("*-final"))) >= 2)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = len(list(slot.glob("*-final")))
    calls: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        learn = bagging.learn
        patch.setattr(bagging, "learn", lambda *args: calls.append(1) or learn(*args))
        run(here, "model", quality="best", **slow)
    assert len(calls) == bagging.FOLDS_OF_SMALL - finished
    run(here, "whole", quality="best", **slow)
    assert (here / "model/model.ubj").read_bytes() == (here / "whole/model.ubj").read_bytes()
    assert not list(here.glob("*.checkpoints"))


@pytest.mark.parametrize("harm", ["cut", "other data", "none of its own"])
def test_a_checkpoint_that_is_not_whole_or_not_of_this_training_is_passed_over(
    here, monkeypatch, harm
) -> None:
    plain = run(here, "plain", **WHOLE)
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoint.Checkpoints, "clear", lambda self: None)
    run(here, "model", **WHOLE)
    monkeypatch.undo()
    (kept,) = (here / "model.checkpoints").iterdir()
    if harm == "cut":
        kept.write_bytes(kept.read_bytes()[:-100])
    elif harm == "other data":
        write_table(table(2_000, 2), here / "train")
        plain = run(here, "plain", **WHOLE)
    else:
        kept.rename(kept.with_name("0" * 32 + "-00000099"))
    again = run(here, "model", **WHOLE)
    assert "resumed_at_round" not in again.metadata
    assert again.metrics["log_loss"] == plain.metrics["log_loss"]
    assert not list(here.glob("*.checkpoints"))


def test_training_goes_on_where_no_checkpoint_can_be_kept(here, monkeypatch, caplog) -> None:
    (here / "file").write_text("")
    monkeypatch.setenv("SHIPWAY_CHECKPOINTS", str(here / "file"))
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    assert run(here, "model").metrics["rounds"] > 1
    assert "no checkpoint is kept" in caplog.text
