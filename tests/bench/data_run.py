"""One program of the data benchmark as a process: what time and memory it and its children take."""

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS_BETWEEN = 0.2


@dataclass(frozen=True)
class Spent:
    """What a program took.

    Attributes:
        seconds: on the clock.
        cpu: seconds of CPU, of all processes of its tree.
        memory: MB at its peak, summed over its tree, pages that are shared counted once.
    """

    seconds: float
    cpu: float
    memory: float


def run(python: Path, name: str, source: Path, out: Path, path: str = "") -> Spent:
    """Run a program of `data_peers`.

    Raises:
        RuntimeError: it failed.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    variables = os.environ | {
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "2",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    with tempfile.TemporaryFile() as log:
        began = time.monotonic()
        process = psutil.Popen(
            [str(python), "-m", "tests.bench.data_peers", name, str(source), str(out)],
            cwd=REPOSITORY, env=variables, stdout=log, stderr=log,
        )  # fmt: skip
        before = os.times()
        memory = 0.0
        while process.poll() is None:
            memory = max(memory, _memory(process))
            time.sleep(SECONDS_BETWEEN)
        seconds = time.monotonic() - began
        after = os.times()
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"'{name}' failed:\n{log.read().decode(errors='replace')[-2000:]}")
    cpu = after.children_user + after.children_system
    return Spent(seconds, cpu - before.children_user - before.children_system, memory)


def _memory(process: psutil.Popen) -> float:
    try:
        children = process.children(recursive=True)
        if not children:  # cheaper to ask for, and the same where nothing is shared
            return float(process.memory_info().rss) / 1e6
        return sum(float(one.memory_full_info().pss) for one in [process, *children]) / 1e6
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended meanwhile
        return 0.0
