"""One worker of a distributed training: `python -m shipway.components.train.worker JOB`.

Kubeflow's TrainJob, or `workers.py` on one machine, sets DMLC_TRACKER_URI, DMLC_TRACKER_PORT,
DMLC_TASK_ID and DMLC_NUM_WORKER. Task 0 runs the tracker that brings the workers together.
"""

import hashlib
import json
import logging
import os
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import xgboost as xgb
from xgboost import collective
from xgboost.tracker import RabitTracker

from shipway.components.lib.errors import ShipwayError, WorkerError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.parameters import Settings
from shipway.components.lib.storage import brought_here
from shipway.components.lib.stored_table import StoredTable
from shipway.components.train.boosting import Share, boost
from shipway.components.train.checkpoint import Checkpoints
from shipway.components.train.workers import LOST, Job

LOOPBACK = "127.0.0.1"
NAME_SECONDS = 300.0  # until the name of the first pod is known
RETRIES = 20  # of a connection, each two seconds later than the one before
COLLECTIVE_SECONDS = 3600  # one worker may write a checkpoint, or have more columns to decode


def main(arguments: list[str]) -> int:
    """Work; the exit status tells whether this worker or another one failed."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    job = Job(**json.loads(arguments[0]))
    if "--attached" in arguments:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory(prefix="shipway-worker-") as scratch, _together():
            _work(job, Path(scratch))
    except ShipwayError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        os._exit(1)  # leaving the group politely would wait for the others
    except xgb.core.XGBoostError as error:
        print(f"XGBoostError: {error}", flush=True)
        os._exit(LOST[0])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1):  # and not sys.stdin, whose lock would outlast the program
        pass
    os._exit(1)


@contextmanager
def _together() -> Iterator[None]:
    """Be one of the workers that the environment tells of."""
    uri, port = os.environ["DMLC_TRACKER_URI"], int(os.environ["DMLC_TRACKER_PORT"])
    task, count = os.environ["DMLC_TASK_ID"], int(os.environ["DMLC_NUM_WORKER"])
    tracker = None
    if task == "0":
        # Workers on other machines reach it by its pod's address; on one machine nobody else does.
        host = LOOPBACK if uri == LOOPBACK else "0.0.0.0"
        tracker = RabitTracker(n_workers=count, host_ip=host, port=port, sortby="task")
        tracker.start()
    else:
        _wait_for_name(uri)
    with collective.CommunicatorContext(
        dmlc_tracker_uri=uri,
        dmlc_tracker_port=port,
        dmlc_task_id=task,
        dmlc_retry=RETRIES,
        dmlc_timeout=COLLECTIVE_SECONDS,
    ):
        yield
    if tracker is not None:
        tracker.wait_for()


def _wait_for_name(host: str) -> None:
    """Wait until the name of the first pod is known: that may take as long as its image."""
    deadline = time.monotonic() + NAME_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.getaddrinfo(host, None)
            return
        time.sleep(1.0)
    raise WorkerError(f"The first worker, '{host}', is not known by name. Does its pod start?")


def _work(job: Job, scratch: Path) -> None:
    plan = FeaturePlan.read(brought_here(job.plan, scratch / "plan"))
    rows = StoredTable(brought_here(job.train, scratch / "train"))
    held_out = StoredTable(brought_here(job.validation, scratch / "validation"))
    share = Share(collective.get_rank(), collective.get_world_size())
    kept = Checkpoints(job.checkpoints, lambda: job.key, writes=share.rank == 0)
    settings = Settings(**job.settings)
    part = share.of(rows.num_rows)
    name = f"rank {share.rank} of {share.count}"
    print(f"{name} takes rows {part.start:,} to {part.stop:,} of {rows.num_rows:,}", flush=True)
    booster, curves = boost(plan, rows, held_out, plan.transform(held_out), settings, kept, share)
    raw = bytes(booster.save_raw("ubj"))
    digest = hashlib.sha256(raw).digest()
    mine = np.frombuffer(digest[:8], dtype=np.int64)
    least, most = (collective.allreduce(mine, o) for o in (collective.Op.MIN, collective.Op.MAX))
    if least[0] != most[0]:
        raise WorkerError("The workers came to different models. Run the step again.")
    kept.finish(booster, curves)
    print(f"{name}: {booster.num_boosted_rounds()} rounds, model {digest.hex()}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
