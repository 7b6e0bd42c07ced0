"""Ingestion, whatever the format: rows, files, parameters, disk, memory, places."""

import gzip
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from shipway.components.ingest.logic import Request, ingest
from shipway.components.lib.errors import ConfigurationError, DataError
from tests.ingesting import GOOD, Bench, types


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_type_holds_for_all_files(bench: Bench) -> None:
    bench.put("1.csv", "a,y\n1,0\n")
    bench.put("2.csv", "y,a\n1,2.5\n")  # the order of the columns may differ
    table = bench.read(bench.source)
    assert table.to_pydict() == {"a": [1.0, 2.5], "y": [0, 1]}


def test_a_folder_with_a_readme_and_an_empty_part(bench: Bench) -> None:
    for name, text in {"1.csv": GOOD, "2.csv": "a,b,y\n", "README.md": "about"}.items():
        bench.put(name, text)
    assert bench.read(bench.source).num_rows == 30
    assert bench.says("README.md")


def test_rows_are_accounted_for(bench: Bench) -> None:
    path = bench.put("t.csv", "a,b,y\n1,,0\n2,,\n3,,NA\n4,,1\n")
    assert bench.read(path, exclude_columns=["a"]).to_pydict() == {"b": [None] * 2, "y": [0, 1]}
    assert bench.metadata | {"sha256": "", "bytes": 0.0} == {
        "rows": 2.0,
        "columns": 2.0,
        "bytes": 0.0,
        "sha256": "",
        "source_uri": str(path),
        "source_generation": str(path.stat().st_mtime_ns),
        "rows_read": 4.0,
        "rows_dropped": 2.0,
        "rows_dropped_label_missing": 2.0,
    }
    assert bench.says("4 rows were read: 2 were kept and 2 dropped")
    assert bench.says("label missing")
    assert bench.says("no value at all")
    assert bench.says("Left out by exclude_columns: a")


def test_a_row_limit_is_kept_over_files_and_said(bench: Bench) -> None:
    bench.put("1.csv", GOOD)
    bench.put("2.csv", GOOD)
    bench.put("3.csv", GOOD + "broken\n")  # beyond the limit, so it is not looked at
    assert bench.read(bench.source, row_limit=31).num_rows == 31
    assert bench.metadata["rows_read"] == 31
    assert bench.says("At most 31 rows")


def test_files_that_disagree_are_named(bench: Bench) -> None:
    bench.put("1.csv", "a,b,y\n1,2,0\n")
    bench.put("2.csv", "a,c,y\n1,2,1\n")
    assert re.search(
        r"2\.csv' has other columns than '.*1\.csv': b, c", bench.refused(bench.source)
    )
    bench.put("3.jsonl", "{}\n")
    assert "mixes csv and jsonl" in bench.refused(bench.source)


def test_wrong_parameters_are_refused(bench: Bench) -> None:
    path = bench.put("t.csv", GOOD)
    assert "Did you mean 'b'" in bench.refused(path, exclude_columns=["bb"])
    assert "names the label" in bench.refused(path, exclude_columns=["y"])
    assert "Did you mean 'csv'" in bench.refused(path, data_format="cvs")
    assert "row_limit=-1" in bench.refused(path, row_limit=-1)
    assert "set data_format" in bench.refused(bench.put("table", GOOD))
    assert bench.read(bench.source / "table", data_format="csv").num_rows == 30
    with pytest.raises(ConfigurationError):
        ingest(Request(str(path), "nope"), bench.dataset, bench.page)


def test_a_file_that_is_written_to_meanwhile_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.put("t.csv", GOOD)
    original = pacsv.open_csv

    def open_and_touch(*args: Any) -> Any:
        os.utime(path, ns=(1, 1))
        return original(*args)

    monkeypatch.setattr(pacsv, "open_csv", open_and_touch)
    assert "changed while it was read" in bench.refused(path)


def test_a_failure_keeps_what_stood_there(bench: Bench) -> None:
    before = bench.read(bench.put("t.csv", GOOD))
    with pytest.raises(DataError):
        ingest(Request(str(bench.put("t.csv", GOOD + "1\n")), "y"), bench.dataset, bench.page)
    assert pq.read_table(bench.dataset).equals(before)
    assert sorted(path.name for path in bench.dataset.parent.iterdir()) == ["dataset", "page.html"]


@pytest.mark.parametrize("wide", [1_500, pytest.param(5_000, marks=pytest.mark.slow)])
def test_thousands_of_columns(bench: Bench, wide: int) -> None:
    head = ",".join([*(f"c{i}" for i in range(wide - 1)), "y"])
    rows = "".join(
        ",".join([*(str(i * j % 17) for j in range(wide - 1)), str(i % 2)]) + "\n"
        for i in range(40)
    )
    table = bench.read(bench.put("t.csv", f"{head}\n{rows}"))
    assert (table.num_rows, table.num_columns) == (40, wide)
    assert set(types(table).values()) == {"int64"}
    assert bench.page.stat().st_size < 1_000_000


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_named_and_nothing_is_left(bench: Bench, tmp_path: Path) -> None:
    rows = "".join(f"{i * 2654435761 % 2**32},{i % 2}\n" for i in range(600_000))
    path = bench.put("t.csv", f"a,y\n{rows}")
    disk = tmp_path / "out"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    try:
        assert re.search(r"disk of '.*out' is full.*Free space", bench.refused(path))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_memory_is_bounded_by_blocks_and_not_by_the_file(bench: Bench) -> None:
    line = b"1.25,some words that repeat themselves,2024-01-01,0\n"
    path = bench.put("t.csv", b"a,b,t,y\n" + (line + line.replace(b"0\n", b"1\n")) * 2_000_000)
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from shipway.components.ingest.logic import Request, ingest\n"
        "ingest(Request(sys.argv[1], 'y', row_limit=100), Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "ingest(Request(sys.argv[1], 'y'), Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle)\n"
    )
    command = [sys.executable, "-c", program, str(path), str(bench.dataset), str(bench.page)]
    grown = int(subprocess.run(command, check=True, capture_output=True).stdout) * 1024
    assert path.stat().st_size > 200_000_000
    assert grown < 150_000_000


def test_a_bucket(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    from shipway.components.lib import google_cloud

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True)
    server.start()
    try:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        bucket = google_cloud.gcs_client().create_bucket("tables")
        bucket.blob("in/1.csv.gz").upload_from_string(gzip.compress(GOOD.encode()))
        bucket.blob("in/2.csv").upload_from_string(GOOD)
        local = bench.put("p.parquet", pa.table({"a": [1, 2], "y": [0, 1]}))
        bucket.blob("p.parquet").upload_from_filename(local)
        assert bench.read("gs://tables/in/").num_rows == 60
        generations = str(bench.metadata["source_generation"]).split(",")
        assert generations[1] == str(bucket.get_blob("in/2.csv").generation)
        assert bench.read("gs://tables/p.parquet").num_rows == 2
        bucket.blob("cut.parquet").upload_from_string(local.read_bytes()[:200])
        assert "cut.parquet" in bench.refused("gs://tables/cut.parquet")
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("table", "label", "rows", "dropped", "kinds"),
    [
        ("chicago-taxi/chicago_taxi.csv", "big_tipper", 15_002, 0, {"fare": "double"}),
        ("telco-churn/telco_churn.csv", "Churn", 7_043, 0, {"TotalCharges": "double"}),
        ("penguins/penguins.csv", "species", 344, 0, {"body_mass_g": "int64", "sex": "string"}),
        ("diamonds/diamonds.csv", "price", 53_940, 0, {"price": "int64", "cut": "string"}),
        ("nyc-flights/flights.parquet", "late", 100_000, 2_835, {"tailnum": "string"}),
    ],
)
def test_the_shared_tables(
    bench: Bench,
    shared_data: Path,
    table: str,
    label: str,
    rows: int,
    dropped: int,
    kinds: dict[str, str],
) -> None:
    result = bench.read(shared_data / table, label)
    assert result.num_rows == rows - dropped
    assert (bench.metadata["rows_read"], bench.metadata["rows_dropped"]) == (rows, dropped)
    assert kinds.items() <= types(result).items()
