import datetime
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from shipway.components.ingest import csv_reader, recoding
from shipway.components.ingest.logic import Request, ingest
from shipway.components.lib.errors import ShipwayError
from shipway.components.lib.tables import read_table

Cells = list[Any]


class Place:
    """A folder with one source, and what becomes of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dataset, self.page = folder / "out" / "dataset", folder / "out" / "page.html"

    def put(self, content: str | bytes, name: str = "t.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def read(self, content: str | bytes, name: str = "t.csv", **more: Any) -> pa.Table:
        path = self.put(content, name)
        self.metadata = ingest(Request(str(path), "y", **more), self.dataset, self.page)
        return read_table(self.dataset)

    def column(self, cells: list[str], delimiter: str = ",", **options: str) -> pa.ChunkedArray:
        rows = [f"{cell}{delimiter}{place % 2}\n" for place, cell in enumerate(cells)]
        return self.read(f"x{delimiter}y\n" + "".join(rows), read_options=options).column("x")

    def refused(self, content: str | bytes, name: str = "t.csv", **more: Any) -> str:
        with pytest.raises(ShipwayError) as caught:
            self.read(content, name, **more)
        assert not self.dataset.exists()
        return str(caught.value)

    def rejected(self) -> list[dict[str, Any]]:
        lines = (self.dataset / "_rejects.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252", "utf-16", "utf-16-le", "cp437"])
def test_text_is_recoded_while_it_is_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(recoding, "_BLOCK", 1_001)  # cuts signs of two bytes
    text = "stra\u00dfe,y\n" + "caf\u00e9,0\nM\u00fcller,1\n" * 2_000
    table = place.read(text.encode(encoding), read_options={"encoding": encoding})
    assert table.column_names == ["stra\u00dfe", "y"]
    assert table.column(0).to_pylist() == ["caf\u00e9", "M\u00fcller"] * 2_000


def test_bytes_of_another_encoding_are_named(place: Place) -> None:
    said = place.refused(b"a,y\n1,0\n\x81,1\n", read_options={"encoding": "windows-1252"})
    assert re.search(r"t\.csv', line 3: the byte 0x81 is not cp1252", said)
    assert "encoding=utf-16" in place.refused("a,y\n1,0\n".encode("utf-16"))


@pytest.mark.parametrize(
    ("cells", "options", "kind", "values"),
    [
        (["1.234,5", "-7,25"], {"decimal": ",", "thousands": "."}, "double", [1234.5, -7.25]),
        (["1,5", ",5", "2e3"], {"decimal": ","}, "double", [1.5, 0.5, 2000]),
        (["1.5", "2,5"], {"decimal": ","}, "string", ["1.5", "2,5"]),
        (["12.5", "1.000"], {"decimal": ",", "thousands": "."}, "string", ["12.5", "1.000"]),
        (["1.000", "2"], {"decimal": ",", "thousands": "."}, "int64", [1000, 2]),
        (["1 000 000", "7"], {"thousands": "space"}, "int64", [1_000_000, 7]),
        (["31.12.2024", "1"], {"decimal": ",", "thousands": "."}, "string", ["31.12.2024", "1"]),
        (["007,5", "1,5"], {"decimal": ","}, "string", ["007,5", "1,5"]),
        (["9007199254740993", "-9223372036854775808"], {}, "int64", [2**53 + 1, -(2**63)]),
        (["-01", "5"], {}, "string", ["-01", "5"]),
        (["+5", "-5.5"], {}, "double", [5, -5.5]),
        (["+4915112345678", "+4915112345679"], {}, "string", ["+4915112345678", "+4915112345679"]),
        (["ja", "Nein"], {"true_words": "ja", "false_words": "nein"}, "bool", [True, False]),
        (["T", "f"], {"true_words": "t", "false_words": "f"}, "bool", [True, False]),
        (["ja", "x"], {"true_words": "ja", "false_words": "nein"}, "string", ["ja", "x"]),
    ],
)  # fmt: skip
def test_signs_and_words_of_other_countries(
    place: Place, cells: list[str], options: dict[str, str], kind: str, values: Cells
) -> None:
    result = place.column(cells, ";", **options)
    assert (str(result.type), result.to_pylist()) == (kind, values)


@pytest.mark.parametrize(
    ("cells", "form", "days"),
    [
        (["31.12.2024", "1.2.2023"], "%d.%m.%Y", [(2024, 12, 31), (2023, 2, 1)]),
        (["12/31/24", "02/29/24"], "%m/%d/%y", [(2024, 12, 31), (2024, 2, 29)]),
        (["31 Dec 2024", "NA"], "%d %b %Y", [(2024, 12, 31), None]),
        (["2024-03-01", "2024-03-02"], "%d.%m.%Y", [(2024, 3, 1), (2024, 3, 2)]),
        (["31.02.2024", "01.03.2024"], "%d.%m.%Y", None),
        (["29.02.2023", "01.03.2024"], "%d.%m.%Y", None),
        (["1.2.24", "1.3.2024"], "%d.%m.%Y", None),
        (["13.13.2024", "01.03.2024"], "%d.%m.%Y", None),
    ],
)
def test_dates_by_their_format(
    place: Place, cells: list[str], form: str, days: Cells | None
) -> None:
    result = place.column(cells, date_format=form)
    if days is None:
        assert result.to_pylist() == cells
    else:
        assert result.to_pylist() == [day and datetime.datetime(*day) for day in days]


def test_columns_of_several_date_formats(place: Place) -> None:
    options = {"date_format": "%d.%m.%Y|%d.%m.%Y %H:%M|%d.%m.%Y %H:%M %z"}
    text = "day,time,zoned,y\n1.2.2024,3.2.2024 17:05,3.2.2024 17:05 +0200,0\n,,,1\n"
    kinds = [str(kind) for kind in place.read(text, read_options=options).schema.types]
    assert kinds == ["timestamp[us]", "timestamp[us]", "timestamp[us, tz=UTC]", "int64"]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a^y\n1^0\n2^1\n", {"delimiter": "^"}),
        ("a y\n1 0\n2 1\n", {"delimiter": "space"}),
        ("a,y\n'1',0\n2,'1'\n", {"quote": "'"}),
        ("from the till\n\x00?\na,y\n1,0\n2,1\n", {"skip_rows": "2"}),
        ("# from the till\na,y\n#1,5\n1,0\n# x\n2,1\n", {"comment": "#"}),
        ("1,0\n2,1\n", {"header": "no", "column_names": "a,y"}),
        ("b,z\n1,0\n2,1\n", {"column_names": "a, y"}),
    ],
)
def test_the_dialect_of_a_file(place: Place, text: str, options: dict[str, str]) -> None:
    assert place.read(text, read_options=options).to_pydict() == {"a": [1, 2], "y": [0, 1]}


def test_quotes_and_escapes(place: Place) -> None:
    escaped = place.read('a,y\nx\\,z,0\n"\\"q",1\n', read_options={"escape": "\\"})
    assert escaped.column("a").to_pylist() == ["x,z", '"q']
    bare = place.read('a,y\n5" pipe,0\n"x,1\n', read_options={"quote": "none"})
    assert bare.column("a").to_pylist() == ['5" pipe', '"x']
    kept = place.read('a,y\n"# no comment\n# nor this",0\nb,1\n', read_options={"comment": "#"})
    assert kept.column("a").to_pylist() == ["# no comment\n# nor this", "b"]


def test_where_a_row_is_ragged_is_told_by_the_line_of_the_file(place: Place) -> None:
    options = {"skip_rows": "1", "comment": "#"}
    said = place.refused("till\na,y\n# c\n1,0\n1\n", read_options=options)
    assert "row 2 (line 5): 1 fields" in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"delimeter": ";"}, r"no 'delimeter'. Did you mean 'delimiter'\?"),
        ({"na_values": "x"}, r"no 'na_values'.*missing_values"),
        ({"delimiter": "||"}, r"'delimiter'\]='\|\|' must be one ASCII sign"),
        ({"encoding": "latin-77"}, r"'latin-77' is no text encoding"),
        ({"encoding": "hex"}, r"'hex' is no text encoding"),
        ({"header": "maybe"}, r"must be yes or no"),
        ({"skip_rows": "-1"}, r"must be 0 or more lines"),
        ({"date_format": "%Y%m%d"}, r"digits alone are whole numbers"),
        ({"date_format": "%d.%m."}, r"must name the year"),
        ({"decimal": ",", "thousands": ","}, r"gives ',' to both decimal and thousands"),
        ({"thousands": "."}, r"gives '\.' to both decimal and thousands"),
        ({"true_words": "ja"}, r"both true_words and false_words"),
        ({"column_names": "a"}, r"has 1 names, but the first record .* has 2 fields"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    place: Place, options: dict[str, str], expected: str
) -> None:
    assert re.search(expected, place.refused("a,y\n1,0\n2,1\n", read_options=options))


def test_options_of_another_format_are_refused(place: Place) -> None:
    said = place.refused('{"a": 1, "y": 0}\n', "t.jsonl", read_options={"delimiter": ";"})
    assert re.search(r"'delimiter'\] says nothing about jsonl.*encoding", said)
    path = place.folder / "t.parquet"
    pq.write_table(pa.table({"a": [1, 2], "y": [0, 1]}), path)
    said = place.refused(path.read_bytes(), "t.parquet", read_options={"encoding": "latin-1"})
    assert "says nothing about parquet" in said


def test_markers_of_one_column(place: Place) -> None:
    text = "fare,n=1,z,y\n-1,-1,-1,0\n-1.0,?,=,1\n2.5,3,x,0\n"
    table = place.read(text, missing_values=["fare=-1", "n=1=?", "=="])
    assert table.to_pydict() == {
        "fare": [None, None, 2.5],
        "n=1": [-1, None, 3],
        "z": ["-1", None, "x"],
        "y": [0, 1, 0],
    }


def test_a_marker_of_a_column_that_does_not_exist_is_refused(place: Place) -> None:
    said = place.refused("fare,y\n-1,0\n2,1\n", missing_values=["fair=-1"])
    assert re.search(r"no column 'fair'. Did you mean 'fare'\?.*'=fair=-1'", said)


LATE = {
    "a code": ("7", "007", "string"),
    "an exponent": ("7", "7e0", "double"),
    "a space": ("7", " 7 ", "int64"),
    "a marker": ("7", " NA", "int64"),
    "hexadecimal": ("7", "0x1F", "string"),
    "beyond 64 bits": ("7", "9223372036854775808", "string"),
    "a long code among numbers": ("7.5", "9223372036854775807", "string"),
    "a code among numbers": ("7.5", "-07.5", "string"),
    "a word": ("true", "yes", "string"),
    "one for true": ("true", "1", "bool"),
    "a time": ("2024-01-01", "2024-01-01T05:00:00", "timestamp[us]"),
    "a zone": ("2024-01-01", "2024-01-01T05:00:00Z", "string"),
    "the first value": ("", "0.5", "double"),
    "a word after ones": ("1", "true", "bool"),
}


@pytest.mark.parametrize("case", LATE)
def test_a_guess_is_held_against_every_row(
    place: Place, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    common, late, kind = LATE[case]
    monkeypatch.setattr(csv_reader, "BLOCK_BYTES", 4_096)
    monkeypatch.setattr(csv_reader, "BYTES_A_COLUMN", 0)
    rows = [f"{common},{place % 2}\n" for place in range(20_000)]
    rows[15_000] = f"{late},0\n"
    result = place.read("x,y\n" + "".join(rows)).column("x")
    assert str(result.type) == kind
    if kind == "string":
        assert result[15_000].as_py() == late
    assert result.null_count == (1 if case == "a marker" else 19_999 if not common else 0)


def test_values_that_fit_their_guess_are_read_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = pacsv.open_csv
    monkeypatch.setattr(csv_reader, "BLOCK_BYTES", 4_096)
    monkeypatch.setattr(pacsv, "open_csv", lambda *given: opened.append(1) or original(*given))
    place.read("x,y\n" + "1,0\n2,1\n" * 5_000)
    assert len(opened) == 2  # once for its beginning
    place.read("x,y\n" + "1,0\n2,1\n" * 5_000 + "1.5,1\nx,1\n")
    assert len(opened) == 5


GOOD = "a,b,y\n" + "1,2,0\n3,4,1\n" * 50


def test_rows_that_cannot_be_read_are_kept_aside_and_counted(place: Place) -> None:
    text = GOOD + "1,2\n" + '"x\nz",2,3,4\n' + "5,6,0\n"
    table = place.read(text, maximum_rejected_share=0.05)
    assert table.num_rows == place.metadata["rows"] == 101
    assert (place.metadata["rows_read"], place.metadata["rows_dropped_unreadable"]) == (103, 2)
    reasons = ["2 fields, where the header has 3", "4 fields, where the header has 3"]
    assert place.rejected() == [
        {"object": str(place.folder / "t.csv"), "row": row, "reason": reason, "text": text}
        for row, reason, text in zip((101, 102), reasons, ("1,2", '"x\nz",2,3,4'), strict=True)
    ]
    assert "unreadable" in place.page.read_text()
    again = pq.read_table(place.dataset)
    assert again.equals(table)


def test_more_rejected_rows_than_allowed_stop_the_step(place: Place) -> None:
    text = GOOD + "1\n" * 3 + "1,2,3,4\n" * 3
    said = place.refused(text, maximum_rejected_share=0.05)
    assert "6 of 106 rows (5.660%) cannot be read" in said
    assert "row 101: 1 fields" in said
    assert said.count("row 10") == 3
    assert "row 101 (line 102): 1 fields" in place.refused(text)
    assert "must be 0 or more, and below 1" in place.refused(text, maximum_rejected_share=1)


def test_rejected_rows_do_not_tell_what_columns_hold_that_are_left_out(place: Place) -> None:
    place.read(GOOD + "secret,2\n", maximum_rejected_share=0.05, exclude_columns=["a"])
    assert "secret" not in (place.dataset / "_rejects.jsonl").read_text()
    assert place.rejected()[0]["row"] == 101


def test_long_rejected_rows_are_cut(place: Place) -> None:
    place.read(GOOD + "x" * 5_000 + "\n", maximum_rejected_share=0.05)
    assert place.rejected()[0]["text"] == "x" * 1_000


def test_json_lines_that_are_none_are_rejected(place: Place) -> None:
    good = '{"a": 1, "y": 0}\n{"a": 2, "y": 1}\n' * 50
    text = good.encode() + b'{"a": \n[1]\n{"a": "\xe9"}\n' + good.encode()
    assert "line 101: not JSON" in place.refused(text, "t.jsonl")
    table = place.read(text, "t.jsonl", maximum_rejected_share=0.05)
    assert table.num_rows == 200
    assert [one["row"] for one in place.rejected()] == [101, 102, 103]
    assert place.metadata["rows_dropped_unreadable"] == 3


def test_rejects_are_counted_once_where_types_are_widened(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_reader, "BLOCK_BYTES", 4_096)
    monkeypatch.setattr(csv_reader, "BYTES_A_COLUMN", 0)
    text = "1\n" + "1,2,0\n3,4,1\n" * 4_000 + "1\n1.5,x,0\n"
    table = place.read("a,b,y\n" + text, maximum_rejected_share=0.01)
    assert [str(kind) for kind in table.schema.types] == ["double", "string", "int64"]
    assert [one["row"] for one in place.rejected()] == [1, 8002]
