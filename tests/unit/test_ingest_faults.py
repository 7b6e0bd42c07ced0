"""Ingestion that is killed, or that may not write: a real process, at moments drawn by chance."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from shipway.components.ingest.logic import Request, ingest
from shipway.components.lib.errors import DataError
from shipway.components.lib.tables import read_table

KILLS = int(os.environ.get("SHIPWAY_TEST_KILLS", "10"))

# Forks before pyarrow has threads, so that one import serves all attempts.
ATTEMPTS = """
import os, signal, sys, time
from pathlib import Path
from shipway.components.ingest.logic import Request, ingest
source, out = sys.argv[1], Path(sys.argv[2])
for line in sys.stdin:
    seconds = float(line)
    child = os.fork()
    if child == 0:
        try:
            ingest(Request(source, "y"), out / "dataset", out / "page.html")
        finally:
            os._exit(0)
    deadline = time.monotonic() + (seconds or 300)
    while time.monotonic() < deadline and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
    else:
        if time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    print("done", flush=True)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    rows = "".join(
        f"{i},{i * 7919 % 100_003}.5,some text {i % 977},{i % 2}\n" for i in range(200_000)
    )
    path.write_text("a,b,c,y\n" + rows)
    return path


def digest(dataset: Path) -> tuple[int, str] | None:
    """What stands at the path of a Dataset: rows and content, or None."""
    try:
        table = read_table(dataset)
    except DataError:
        return None
    return table.num_rows, str(table.column("b").combine_chunks().slice(0, 5).to_pylist())


def test_no_half_table_stands_after_a_kill(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    began = time.monotonic()
    whole = ingest(Request(str(source), "y"), tmp_path / "whole" / "d", tmp_path / "whole" / "p")
    seconds = time.monotonic() - began
    expected = digest(tmp_path / "whole" / "d")
    former = tmp_path / "former.csv"
    former.write_text("a,b,c,y\n" + "1,2,x,0\n2,3,y,1\n" * 2_000)
    ingest(Request(str(former), "y"), tmp_path / "former" / "d", tmp_path / "former" / "p")
    allowed = {None, expected, digest(tmp_path / "former" / "d")}
    with subprocess.Popen(
        [sys.executable, "-c", ATTEMPTS, str(source), str(out)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as driver:  # fmt: skip
        assert driver.stdin is not None and driver.stdout is not None
        draws = random.Random(5)
        for attempt in range(KILLS):
            if attempt % 2:
                ingest(Request(str(former), "y"), out / "dataset", out / "page.html")
            driver.stdin.write(f"{draws.uniform(0, 1.2 * seconds)}\n")
            driver.stdin.flush()
            assert driver.stdout.readline() == "done\n"
            assert digest(out / "dataset") in allowed
        driver.stdin.write("0\n")  # and again, to its end
        driver.stdin.flush()
        assert driver.stdout.readline() == "done\n"
        driver.stdin.close()
    assert digest(out / "dataset") == expected
    assert pq.read_table(out / "dataset").num_rows == whole["rows"]
    assert {one.name for one in out.iterdir()} == {"dataset", "page.html"}  # no draft of the killed


LIMITED = """
import resource, sys
from pathlib import Path
from shipway.components.ingest.logic import Request, ingest
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
ingest(Request(sys.argv[1], "y", maximum_rejected_share=0.4), Path(sys.argv[2]) / "d", Path("p"))
"""


def test_files_that_may_not_grow_leave_nothing(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", LIMITED, str(source), str(out), "100000"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert list(out.iterdir()) == []


def test_a_reject_file_is_part_of_the_whole(source: Path, tmp_path: Path) -> None:
    source.write_text("a,y\n" + "1,0\n2,1\n" * 50 + "1\n")
    out = tmp_path / "d"
    ingest(Request(str(source), "y", maximum_rejected_share=0.1), out, tmp_path / "p")
    assert json.loads((out / "_rejects.jsonl").read_text())["row"] == 101
    ingest(Request(str(source), "y", maximum_rejected_share=0.1, row_limit=50), out, tmp_path / "p")
    source.write_text("a,y\n" + "1,0\n2,1\n" * 50)
    ingest(Request(str(source), "y"), out, tmp_path / "p")
    assert not (out / "_rejects.jsonl").exists()
