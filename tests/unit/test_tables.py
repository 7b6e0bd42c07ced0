import datetime
import decimal
import io
import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.lib import parts, tables
from shipway.components.lib.errors import DataError


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    table = pa.table({"a": [1, None, 3], "b": ["x", "ä", None]})
    summary = tables.write_table(table, tmp_path / "t")
    assert tables.read_table(tmp_path / "t").equals(table)
    assert tables.read_table(tmp_path / "t", ["b"]).column_names == ["b"]
    assert (summary.rows, summary.columns, tables.count_rows(tmp_path / "t")) == (3, 2, 3)
    assert summary.metadata()["sha256"] == summary.sha256


def test_rows_go_into_parts_and_row_groups_of_one_size(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64())])
    rows = parts.ROWS_PER_PART + 10
    with tables.TableWriter(tmp_path / "t", schema) as writer:
        for start in range(0, rows, 50_001):
            writer.write(pa.table({"a": range(start, min(start + 50_001, rows))}))
    written = sorted((tmp_path / "t").iterdir())
    assert [part.name for part in written] == ["part-00000.parquet", "part-00001.parquet"]
    sizes = {pq.ParquetFile(written[0]).metadata.row_group(i).num_rows for i in range(16)}
    assert sizes == {parts.ROW_GROUP}
    assert tables.read_table(tmp_path / "t").column("a").to_pylist() == list(range(rows))


def test_groups_of_a_wide_table_hold_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CELLS_PER_GROUP", 40_000)
    table = pa.table({f"c{place}": range(5_000) for place in range(20)})
    tables.write_table(table, tmp_path / "t")
    written = pq.ParquetFile(tmp_path / "t" / "part-00000.parquet").metadata
    assert [written.row_group(i).num_rows for i in range(3)] == [2_000, 2_000, 1_000]
    assert tables.read_table(tmp_path / "t").equals(table)


def test_a_file_beside_the_parts_is_no_part(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]})
    with tables.TableWriter(tmp_path / "t", table.schema) as writer:
        writer.write(table)
        writer.attach("_notes.jsonl", io.BytesIO(b"{}"))
    assert (tmp_path / "t" / "_notes.jsonl").read_bytes() == b"{}"
    plain = tables.write_table(table, tmp_path / "plain")
    assert writer.summary == plain
    assert pq.read_table(tmp_path / "t").equals(table)


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    one = tables.write_table(pa.table({"a": [1, 2]}), tmp_path / "one")
    same = tables.write_table(pa.table({"a": [1, 2]}), tmp_path / "same")
    other = tables.write_table(pa.table({"a": [1, 3]}), tmp_path / "other")
    assert one.sha256 == same.sha256 != other.sha256


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        tables.TableWriter(tmp_path / "t", pa.schema([("a", pa.int64())])) as writer,
    ):
        writer.write(pa.table({"a": range(100_000)}))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([], pa.int64())})
    tables.write_table(table, tmp_path / "t")
    assert tables.read_schema(tmp_path / "t").names == ["a"]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    for read in (tables.read_table, tables.count_rows, tables.read_schema):
        with pytest.raises(DataError, match="nowhere"):
            read(tmp_path / "nowhere")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    try:
        schema = pa.schema([("a", pa.float64())])
        with pytest.raises(DataError, match="full"), tables.TableWriter(disk / "t", schema) as w:
            for start in range(0, 2_000_000, 100_000):
                w.write(pa.table({"a": [float(i) ** 0.5 for i in range(start, start + 100_000)]}))
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_cells_as_they_stand_in_a_request() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2024, 5, 1, 12, 30)
    cells = {
        float("nan"): None,
        float("inf"): None,
        1.5: 1.5,
        moment: "2024-05-01T12:30:00",
        moment.replace(tzinfo=zone): "2024-05-01T10:30:00Z",
        datetime.date(2024, 5, 1): "2024-05-01",
        decimal.Decimal("1.10"): "1.10",
        "text": "text",
        True: True,
    }
    assert [tables.json_value(cell) for cell in cells] == list(cells.values())
    assert tables.to_rows(pa.table({"a": [1, None], "b": [True, False]})) == [
        {"a": 1, "b": True},
        {"a": None, "b": False},
    ]
