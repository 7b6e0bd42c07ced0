"""Several workers that train one booster: what they are told, and how this machine starts them.

Each worker holds a share of the rows and runs `worker.py`; Kubeflow's TrainJob starts the very same
program on a cluster (`train_job.py`).
"""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import xgboost as xgb

from shipway.components.lib.errors import ConfigurationError, DataError, WorkerError
from shipway.components.lib.memory import rows_that_fit
from shipway.components.lib.own_pod import on_cluster
from shipway.components.lib.parameters import Settings
from shipway.components.lib.ports import free_port
from shipway.components.lib.storage import store_uri
from shipway.components.train.checkpoint import Checkpoints, Curves

MODULE = "shipway.components.train.worker"
LOST = (3, 255)  # exit statuses of a worker that lost the others
STOP_SECONDS = 10.0
LINES = 12
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What every worker is told.

    Attributes:
        train: path or URI of the training rows.
        validation: of the validation rows.
        plan: of the feature plan.
        checkpoints: where rank 0 leaves checkpoints and the model.
        key: of the checkpoints.
        settings: XGBoost's parameters, rounds, patience and others.
    """

    train: str
    validation: str
    plan: str
    checkpoints: str
    key: str
    settings: Mapping[str, Any]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def check_workers(workers: int, quality: str) -> None:
    """Refuse a number of workers that cannot train.

    Raises:
        ConfigurationError: it is below 1, or a bag was asked for.
    """
    if workers < 1:
        raise ConfigurationError(f"training_workers={workers} must be 1 or more.")
    if workers > 1 and quality == "best":
        raise ConfigurationError(
            f"training_workers={workers} trains one booster together, and quality=best a bag of "
            "them: choose one of the two."
        )


def job_of(
    places: Mapping[str, str],
    kept: Checkpoints,
    settings: Settings,
    shape: tuple[int, int],
    workers: int,
) -> Job:
    """The job of a training.

    Args:
        places: of train, validation and plan, as workers find them.
        kept: checkpoints of the training.
        settings: of the training; what the margins mean is no business of the workers.
        shape: of all training rows.
        workers: that share them.

    Raises:
        DataError: there are fewer rows than workers.
    """
    if shape[0] < workers:
        raise DataError(f"{shape[0]:,} training rows are too few for {workers} workers. Take one.")
    told = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "response"}
    if told["external"] is None and not on_cluster():
        # Processes of one machine share its memory.
        told["external"] = shape[0] > rows_that_fit(shape[1])
    inputs = {name: store_uri(places[name]) for name in ("train", "validation", "plan")}
    return Job(**inputs, checkpoints=store_uri(kept.address), key=kept.key, settings=told)


def boost_on_workers(job: Job, count: int, kept: Checkpoints) -> tuple[xgb.Booster, Curves]:
    """Train with some workers, unless an earlier try of this step has done it.

    Returns:
        The booster cut at its best round, and the losses by round.

    Raises:
        WorkerError: a worker failed.
    """
    found = kept.latest()
    begun = kept.resumed_at if found is not None and not found.finished else 0
    if found is None or not found.finished:
        _launch(job, count)
        found = kept.latest()
    kept.resumed_at = begun  # and not where the workers ended
    if found is None or not found.finished:
        raise WorkerError(f"The workers ended, but left no model at '{job.checkpoints}'.")
    return found.booster, found.curves


def _launch(job: Job, count: int) -> None:
    if on_cluster():
        from shipway.components.train.train_job import run_train_job

        run_train_job(job, count)
    else:
        run_processes(job, count)


def run_processes(job: Job, count: int) -> None:
    """Run the workers as processes of this machine, which share its cores.

    Raises:
        WorkerError: one of them failed; it is named with the last lines that it wrote.
    """
    told = {
        "DMLC_TRACKER_URI": "127.0.0.1",
        "DMLC_TRACKER_PORT": str(free_port()),
        "DMLC_NUM_WORKER": str(count),
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count)),
    }
    command = [sys.executable, "-m", MODULE, job.to_json(), "--attached"]
    workers: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="shipway-workers-") as scratch, ending_on_sigterm():
        try:
            for rank in range(count):
                with (Path(scratch) / str(rank)).open("wb") as log:
                    workers.append(
                        subprocess.Popen(
                            command,
                            env=os.environ | told | {"DMLC_TASK_ID": str(rank)},
                            stdin=subprocess.PIPE,  # its end tells a worker that this process died
                            stdout=log,
                            stderr=subprocess.STDOUT,
                        )
                    )
            _wait(workers, Path(scratch))
        finally:
            _stop(workers)


def _wait(workers: list[subprocess.Popen[bytes]], logs: Path) -> None:
    while any(worker.poll() is None for worker in workers):
        if any(worker.poll() for worker in workers):
            time.sleep(0.5)  # those that lost it end too, and it may be the first to be seen
            break
        time.sleep(0.05)
    failed = [rank for rank, worker in enumerate(workers) if worker.poll()]
    for rank in range(len(workers)):
        words = (logs / str(rank)).read_text("utf-8", errors="replace").splitlines()[-LINES:]
        if not failed:
            _log.info("worker %d: %s", rank, words[-1] if words else "")
    if failed:
        rank = min(failed, key=lambda one: workers[one].returncode in LOST)
        text = (logs / str(rank)).read_text("utf-8", errors="replace")
        raise WorkerError(_told(rank, len(workers), workers[rank].returncode, text))


def _told(rank: int, count: int, status: int, log: str) -> str:
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"failed ({status})"
    words = "\n".join(log.strip().splitlines()[-LINES:]) or "It wrote nothing."
    return f"Worker {rank} of {count} {how}, so that the training stopped. It wrote last:\n{words}"


def _stop(workers: list[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for worker in workers:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        if worker.stdin is not None:
            worker.stdin.close()


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM leave through `finally`, as an exception: what was started is ended too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
