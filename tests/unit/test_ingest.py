import datetime
import decimal
import gzip
import json
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
from tests.ingesting import Bench

GOOD = "a,b,y\n" + "".join(f"{i},{i * 7 % 13},{'yes' if i % 3 else 'no'}\n" for i in range(30))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def types(table: pa.Table) -> dict[str, str]:
    return {field.name: str(field.type) for field in table.schema}


def column(bench: Bench, cells: list[str], **more: Any) -> pa.ChunkedArray:
    """The column that some CSV cells become."""
    rows = "".join(f"{cell},{place % 2}\n" for place, cell in enumerate(cells))
    return bench.read(bench.put("cells.csv", "x,y\n" + rows), **more).column("x")


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-2", ""], "int64", [1, -2, None]),
        (["1", "2.5", " "], "double", [1.0, 2.5, None]),
        (["1", "   ", " 3 ", " NA "], "int64", [1, None, 3, None]),
        (["29.85", "N/A", "null", "None", "NaN"], "double", [29.85, None, None, None, None]),
        (["true", "FALSE", "1"], "bool", [True, False, True]),
        (["1", "x7"], "string", ["1", "x7"]),
        (["a", "NA", " ", " b "], "string", ["a", None, None, "b"]),
        (["00123", "45"], "string", ["00123", "45"]),
        (["0", "0.5"], "double", [0.0, 0.5]),
        (["0x1f", "0x2a"], "string", ["0x1f", "0x2a"]),
        (["12345678901234567890", "1"], "string", ["12345678901234567890", "1"]),
        (["1.5", "inf", "-inf"], "double", [1.5, None, None]),
        (["", "NA"], "string", [None, None]),
    ],
)
def test_the_type_of_a_column(bench: Bench, cells: list[str], kind: str, values: list) -> None:
    result = column(bench, cells)
    assert str(result.type) == kind
    assert result.to_pylist() == values


def test_times_in_text_become_times(bench: Bench) -> None:
    assert str(column(bench, ["2024-01-02", "2024-01-02T03:04:05"]).type) == "timestamp[us]"
    zoned = column(bench, ["2024-01-02T00:00:00Z", "2024-01-02T01:00:00+01:00"])
    assert str(zoned.type) == "timestamp[us, tz=UTC]"
    assert len(zoned.unique()) == 1
    assert str(column(bench, ["2024-01-02", "soon"]).type) == "string"


def test_a_type_holds_for_the_whole_stream_and_not_for_the_first_block(bench: Bench) -> None:
    rows = "1,0,2024-01-01\n" * 900_000 + "2.5,1,2024-01-01\n" + "3,x,later\n"
    table = bench.read(bench.put("long.csv", "a,y,t\n" + rows))
    assert types(table) == {"a": "double", "y": "string", "t": "string"}
    assert table.num_rows == bench.metadata["rows"] == 900_002
    assert table.column("a")[900_000].as_py() == 2.5


def test_a_type_holds_for_all_files(bench: Bench) -> None:
    bench.put("1.csv", "a,y\n1,0\n")
    bench.put("2.csv", "y,a\n1,2.5\n")  # the order of the columns may differ
    table = bench.read(bench.source)
    assert table.to_pydict() == {"a": [1.0, 2.5], "y": [0, 1]}


def test_own_missing_values(bench: Bench) -> None:
    result = column(bench, ["-999", "-999.0", "?", "4"], missing_values=["-999", "?"])
    assert result.to_pylist() == [None, None, None, 4.0]


def test_quotes_line_ends_marks_and_delimiters(bench: Bench) -> None:
    quoted = bench.put("q.csv", '"a\nb",y\r\n"x\nz",0\r\n"q,""r""",1\r\n\r\n')
    assert bench.read(quoted).to_pydict() == {"a\nb": ["x\nz", 'q,"r"'], "y": [0, 1]}
    assert bench.read(bench.put("m.csv", b"\xef\xbb\xbfa,y\n1,0\n2,1\n")).column_names == ["a", "y"]
    assert bench.read(bench.put("s.csv", "a; b;y\n1,5;2;0\n2,5;3;1\n")).column_names[1] == "b"
    assert bench.says("';'")
    named = bench.read(bench.put("n.csv", ",a,y\n0,1,1\n1,2,0\n"))
    assert named.column_names == ["column_1", "a", "y"]


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv"])
def test_gzip_is_told_by_its_bytes(bench: Bench, name: str) -> None:
    assert bench.read(bench.put(name, gzip.compress(GOOD.encode()))).num_rows == 30


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


def test_parquet_in_plain_types(bench: Bench) -> None:
    day = datetime.datetime(2024, 1, 2, 3)
    table = pa.table(
        {
            "decimal": pa.array([decimal.Decimal("1.5"), None]),
            "codes": pa.array(["x", "z"]).dictionary_encode(),
            "time": pa.array([day, None], pa.timestamp("ns", "UTC")),
            "date": pa.array([day.date(), None]),
            "clock": pa.array([day.time(), None]),
            "wait": pa.array([datetime.timedelta(minutes=1), None]),
            "text": pa.array([" ", "NA"]),
            "nothing": pa.nulls(2),
            "number": pa.array([float("nan"), float("inf")]),
            "marker": pa.array([-999, 5]),
            "y": [0, 1],
        }
    )
    result = bench.read(bench.put("t.parquet", table), missing_values=["-999"])
    assert types(result) == {
        "decimal": "double",
        "codes": "string",
        "time": "timestamp[ns, tz=UTC]",
        "date": "date32[day]",
        "clock": "string",
        "wait": "double",
        "text": "string",
        "nothing": "string",
        "number": "double",
        "marker": "int64",
        "y": "int64",
    }
    assert result.column("text").to_pylist() == [None, "NA"]  # Parquet has nulls of its own
    assert result.column("wait").to_pylist() == [60.0, None]
    assert result.column("marker").to_pylist() == [None, 5]
    assert result.column("number").null_count == 2
    assert bench.says("1 infinite, read as missing")


def test_parquet_files_of_several_types(bench: Bench) -> None:
    bench.put("1.parquet", pa.table({"a": [1, 2], "b": pa.nulls(2), "y": [0, 1]}))
    bench.put("2.parquet", pa.table({"b": ["x"], "a": [0.5], "y": [1]}))
    assert bench.read(bench.source).to_pydict() == {
        "a": [1.0, 2.0, 0.5],
        "b": [None, None, "x"],
        "y": [0, 1, 1],
    }
    bench.put("3.parquet", pa.table({"b": ["x"], "a": ["text"], "y": [1]}))
    assert re.search(r"'a' holds string in '.*3.parquet'", bench.refused(bench.source))


def test_json_lines(bench: Bench) -> None:
    rows: list[dict[str, Any]] = [
        {"a": 1, "b": "1", "y": False, "n": {"x": 1}, "m": 1, "big": 2**70},
        {"a": 2.5, "b": " ", "y": True, "n": [2], "m": "x", "late": "2024-01-01"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    result = bench.read(bench.put("t.jsonl", text + "\n"), exclude_columns=["n"])
    assert result.to_pydict() == {
        "a": [1.0, 2.5],
        "b": ["1", None],
        "y": [False, True],
        "m": ["1", "x"],
        "big": [str(2**70), None],
        "late": [None, datetime.datetime(2024, 1, 1)],
    }
    packed = bench.put("t.jsonl.gz", gzip.compress(text.encode()))
    assert bench.read(packed, exclude_columns=["n"]).equals(result)


CSV_ERRORS = {
    "empty": ("", r"'.*t\.csv' is empty"),
    "blank": ("\n\n", r"'.*t\.csv' is empty"),
    "header_only": ("a,b,y\n", r"no rows"),
    "too_few": (GOOD + "1,2\n", r"t\.csv', row 31 \(line 32\): 2 fields, where the header has 3"),
    "too_many": (GOOD + "1,2,3,4\n", r"row 31 \(line 32\): 4 fields, where the header has 3"),
    "after_a_line_end_in_quotes": ('a,y\n"x\nz",0\n1\n', r"row 2 \(line 4\): 1 fields"),
    "open_quote": ('a,y\n"x,0\n' + "1,2\n" * 9, r"quote that was left open"),
    "twice": ("a,a,y\n1,2,3\n", r"names the column 'a' 2 times"),
    "twice_by_a_space": ("a, a,y\n1,2,3\n", r"names the column 'a' 2 times"),
    "latin": (GOOD.encode() + b"1,caf\xe9,yes\n", r"line 32: byte 268 \(0xe9\).*iconv"),
    "latin_header": (b"caf\xe9,y\n1,2\n", r"line 1: byte 4 \(0xe9\).*iconv"),
    "utf16": (GOOD.encode("utf-16"), r"UTF-16.*iconv"),
    "constant": ("a,y\n1,0\n2,0\n", r"label 'y' holds only 0 in 2 rows"),
    "label_missing": ("a,y\n1,\n2,NA\n", r"label 'y' holds no value in 2 rows"),
    "label_absent": ("a,yy\n1,0\n", r"label='y'.*Did you mean 'yy'"),
    "label_alone": ("y\n1\n2\n", r"no column beside the label"),
}


@pytest.mark.parametrize("case", CSV_ERRORS)
def test_broken_csv_is_named_and_nothing_is_written(bench: Bench, case: str) -> None:
    content, expected = CSV_ERRORS[case]
    assert re.search(expected, bench.refused(bench.put("t.csv", content)))


def test_what_stands_late_in_a_long_file_is_found(bench: Bench) -> None:
    rows = b"1,some text,0\n2,more text,1\n" * 400_000
    ragged = bench.refused(bench.put("t.csv", b"a,b,y\n" + rows + b"1,2\n"))
    assert "row 800001 (line 800002): 2 fields" in ragged
    latin = bench.refused(bench.put("t.csv", b"a,b,y\n" + rows + b"1,\xff,0\n"))
    assert f"line 800002: byte {6 + len(rows) + 3} (0xff)" in latin


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a": \n', r"t\.jsonl', line 2: not JSON"),
        (b"[1]\n", r"line 2: a list, where an object"),
        (b'{"a": {"x": 1}}\n', r"Column 'a'.*nested.*exclude_columns=\['a'\]"),
        (b'{"a": "\xe9"}\n', r"line 2: byte 25 \(0xe9\)"),
    ],
)
def test_broken_json_lines_are_named(bench: Bench, line: bytes, expected: str) -> None:
    assert re.search(expected, bench.refused(bench.put("t.jsonl", b'{"a": 1, "y": 0}\n' + line)))


def test_a_cut_gzip_file_is_named(bench: Bench) -> None:
    for name, text in {"t.csv.gz": GOOD, "t.jsonl.gz": '{"a": 1, "y": 0}\n' * 500}.items():
        path = bench.put(name, gzip.compress(text.encode())[:-9])
        assert re.search(rf"{name}' is not a whole gzip", bench.refused(path))


def test_broken_parquet_is_named(bench: Bench) -> None:
    table = pa.table({"a": [str(i) for i in range(50_000)], "y": [0, 1] * 25_000})
    whole = bench.put("t.parquet", table).read_bytes()
    cut = bench.refused(bench.put("cut.parquet", whole[: len(whole) // 2]))
    assert re.search(r"cut\.parquet' is not a whole Parquet file", cut)
    damaged = whole[:20_000] + b"\xff" * 500 + whole[20_500:]
    assert re.search(r"bad\.parquet' is damaged", bench.refused(bench.put("bad.parquet", damaged)))


def test_nested_parquet_is_refused_unless_excluded(bench: Bench) -> None:
    table = pa.table({"n": [{"x": 1}, {"x": 2}], "raw": [b"1", b"2"], "a": [1, 2], "y": [0, 1]})
    path = bench.put("t.parquet", table)
    assert re.search(r"'n'.*nested.*exclude_columns=\['n'\]", bench.refused(path))
    assert "bytes" in bench.refused(path, exclude_columns=["n"])
    assert bench.read(path, exclude_columns=["n", "raw"]).column_names == ["a", "y"]


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


def test_five_thousand_columns(bench: Bench) -> None:
    head = ",".join([*(f"c{i}" for i in range(4999)), "y"])
    rows = "".join(
        ",".join([*(str(i * j % 17) for j in range(4999)), str(i % 2)]) + "\n" for i in range(40)
    )
    table = bench.read(bench.put("t.csv", f"{head}\n{rows}"))
    assert (table.num_rows, table.num_columns) == (40, 5000)
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
