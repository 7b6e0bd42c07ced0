"""What a user gets wrong: one clear message, no endpoint, no half-written output."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.lib.errors import ConfigurationError
from shipway.pipelines.run import Run
from shipway.pipelines.sample import write_sample

GOOD = "a,b,y\n" + "".join(f"{i},{i * 7 % 13},{'yes' if i % 3 else 'no'}\n" for i in range(300))


def parquet_cut_in_the_middle(path: Path) -> bytes:
    pq.write_table(pa.table({"a": range(1000), "y": ["n", "y"] * 500}), path)
    return path.read_bytes()[: path.stat().st_size // 2]


def failed_step(run: Run) -> str:
    assert not run.endpoint
    assert len(run.failed) == 1
    step = run.failed[0]
    for path in step.artifacts.values():
        assert not path.exists()
    leftovers = [p for p in (run.folder / "artifacts").rglob("*") if p.name.endswith(".partial")]
    assert leftovers == []
    return step.name


CASES = {
    "empty": ("", r"empty"),
    "header_only": ("a,b,y\n", r"no row|has no rows|only a header"),
    "label_absent": (GOOD.replace("a,b,y\n", "a,b,yy\n"), r"'y'.*Did you mean 'yy'"),
    "label_constant": (GOOD.replace(",no\n", ",yes\n"), r"'yes'"),
    "ragged": (GOOD + "1,2\n", r"row 30[12]|line 30[12]"),
    "mixed_encodings": (GOOD.encode() + "1,2,caf\u00e9\n".encode("latin-1"), r"UTF-8"),
    "duplicate_columns": (GOOD.replace("a,b,y\n", "a,a,y\n"), r"'a'"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_table_is_named_with_the_cure(shell, make_table, case: str) -> None:
    content, expected = CASES[case]
    table = make_table(f"{case}.csv", content)
    run = shell.run(data_uri=str(table), label="y", model_name="m")
    assert failed_step(run) == "ingest-table"
    assert re.search(expected, shell.screen), shell.screen
    assert "Traceback" not in shell.screen


def test_a_missing_file_is_named(shell, tmp_path: Path) -> None:
    run = shell.run(data_uri=str(tmp_path / "nowhere.csv"), label="y", model_name="m")
    assert failed_step(run) == "ingest-table"
    assert "nowhere.csv" in shell.screen


def test_a_truncated_parquet_file_is_named(shell, make_table, tmp_path: Path) -> None:
    table = make_table("cut.parquet", parquet_cut_in_the_middle(tmp_path / "whole.parquet"))
    run = shell.run(data_uri=str(table), label="y", model_name="m")
    assert failed_step(run) == "ingest-table"
    assert "cut.parquet" in shell.screen


def test_one_class_with_a_single_row_is_named(shell, make_table) -> None:
    table = make_table("rare.csv", GOOD + "1,2,rare\n")
    run = shell.run(data_uri=str(table), label="y", model_name="m")
    assert not run.endpoint
    assert "'rare'" in shell.screen


# The one whole run of the fast tests: by a strategy by name, too.
def test_a_column_of_nulls_is_dropped_with_a_reason(shell, tmp_path: Path, free_port: int) -> None:
    header, *rows = write_sample(tmp_path, 3_000, 0, False, False).read_text().splitlines()
    table = tmp_path / "nulls.csv"
    table.write_text("\n".join([f"{header},empty", *(f"{row}," for row in rows)]) + "\n")
    run = shell.run(
        data_uri=str(table),
        label="churned",
        model_name="m",
        endpoint_port=free_port,
        split_strategy="hash",
    )
    assert [step.name for step in run.failed + run.stopped_by] == []
    assert run.endpoint
    page = run.reports["fit-features"].read_text()
    assert "empty" in page
    assert "missing" in page


@pytest.mark.slow
def test_five_thousand_columns(shell, make_table, free_port: int) -> None:
    names = ",".join([f"c{i}" for i in range(4999)] + ["y"])
    rows = [
        ",".join([str((i * j) % 17) for j in range(4999)] + ["no" if i % 3 else "yes"])
        for i in range(200)
    ]
    table = make_table("wide.csv", "\n".join([names, *rows]) + "\n")
    run = shell.run(data_uri=str(table), label="y", model_name="m", endpoint_port=free_port)
    # Noise must not be blessed; what counts is that no step breaks on the width.
    assert run.failed == []
    assert run.artifact("evaluate-model", "evaluation") is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_fills(shell, tmp_path: Path) -> None:
    table = write_sample(tmp_path, 60_000, 0, False, False)
    disk = shell.state / "runs"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    try:
        run = shell.run(data_uri=str(table), label="churned", model_name="m")
        assert failed_step(run) == "ingest-table"
        assert "full" in shell.screen, shell.screen
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_busy_port_is_found_before_anything_runs(shell, make_table) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port} is in use.*endpoint_port="):
            shell.run(
                data_uri=str(make_table("t.csv", GOOD)),
                label="y",
                model_name="m",
                endpoint_port=port,
            )
    assert not (shell.state / "runs").exists()


def test_an_unknown_parameter_is_refused_before_anything_runs(shell) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'label'"):
        shell.run(data_uri="t.csv", lable="y", model_name="m")
    assert not (shell.state / "runs").exists()
