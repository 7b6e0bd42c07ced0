"""Ingestion of Parquet, JSON lines and gzip."""

import datetime
import decimal
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.ingesting import GOOD, Bench, types


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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
