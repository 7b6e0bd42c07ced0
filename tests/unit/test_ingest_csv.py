"""Ingestion of CSV: the types of its cells, its forms, and what is broken in it."""

import gzip
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.ingesting import GOOD, Bench, types


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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
