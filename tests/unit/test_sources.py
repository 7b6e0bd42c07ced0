"""Formats that know their types, compressed text, partitioned folders, and places of fsspec."""

import bz2
import datetime
import decimal
import lzma
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather, orc

from shipway.components.ingest import columnar_formats
from shipway.components.lib.errors import ConfigurationError, ShipwayError
from shipway.components.lib.storage import list_objects, refuse_secrets
from tests.ingesting import Bench

GOOD = "a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


TABLE = pa.table(
    {
        "n": pa.array([1, None, 3], pa.int32()),
        "x": [0.5, 1.5, float("nan")],
        "s": [" a", "", None],
        "d": pa.array([datetime.date(2024, 1, 2), None, datetime.date(2024, 3, 4)]),
        "t": pa.array([datetime.datetime(2024, 1, 2, 3), None, None], pa.timestamp("us", "UTC")),
        "m": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("2.25")]),
        "y": [True, False, True],
        "nested": pa.array([[1], None, [2, 3]]),
    }
)
PLAIN = {
    "n": [1, None, 3],
    "x": [0.5, 1.5, None],
    "s": [" a", None, None],
    "d": [datetime.date(2024, 1, 2), None, datetime.date(2024, 3, 4)],
    "t": [datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.UTC), None, None],
    "m": [1.5, None, 2.25],
    "y": [True, False, True],
}


def to_feather(table: pa.Table, path: Path) -> None:
    feather.write_feather(table, str(path), compression="zstd", chunksize=table.num_rows // 3 + 1)


def to_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=table.num_rows // 3 + 1)


def to_orc(table: pa.Table, path: Path) -> None:
    orc.write_table(table, str(path))


AVRO_TYPES: dict[str, Any] = {
    "n": "int",
    "x": "double",
    "s": "string",
    "d": {"type": "int", "logicalType": "date"},
    "t": {"type": "long", "logicalType": "timestamp-micros"},
    "m": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    "y": "boolean",
    "nested": {"type": "array", "items": "int"},
}


def to_avro(table: pa.Table, path: Path, codec: str = "deflate") -> None:
    fastavro = pytest.importorskip("fastavro")
    fields = [
        {"name": name, "type": ["null", AVRO_TYPES.get(name, "long")]}
        for name in table.column_names
    ]
    schema = {"type": "record", "name": "row", "fields": fields}
    with path.open("wb") as file:
        fastavro.writer(file, schema, table.to_pylist(), codec=codec)


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "t.parquet": pq.write_table,
    "t.feather": to_feather,
    "t.arrow": to_stream,
    "t.orc": to_orc,
    "t.avro": to_avro,
}


@pytest.mark.parametrize("name", WRITERS)
def test_one_table_in_every_format(bench: Bench, name: str) -> None:
    WRITERS[name](TABLE, bench.source / name)
    table = bench.read(bench.source, exclude_columns=["nested"])
    read = table.to_pydict()
    if name == "t.orc":  # which keeps the moment and not the zone
        read["t"] = [one and one.replace(tzinfo=datetime.UTC) for one in read["t"]]
    assert read | {"s": None} == PLAIN | {"s": None}
    assert [one and one.strip() for one in read["s"]] == ["a", None, None]
    assert str(table.schema.field("m").type) == "double"
    assert re.search(r"'nested' of '.*' holds nested.*exclude", bench_refusal(bench))


def bench_refusal(bench: Bench) -> str:
    with pytest.raises(ShipwayError) as caught:
        bench.read(bench.source)
    return str(caught.value)


@pytest.mark.parametrize("name", list(WRITERS))
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_cut_file_is_named_and_never_read_in_part(bench: Bench, name: str, share: float) -> None:
    table = pa.table({"a": [i * 7919 % 10_007 for i in range(9_000)], "y": [False, True] * 4_500})
    WRITERS[name](table, bench.source / name)
    whole = (bench.source / name).read_bytes()
    cut = bench.put(name, whole[: int(len(whole) * share)])
    assert re.search(rf"{name}' is (not a whole|damaged)", bench.refused(cut))


@pytest.mark.parametrize("suffix", ["feather", "orc", "avro"])
def test_a_file_of_another_format_is_named(bench: Bench, suffix: str) -> None:
    assert f"t.{suffix}' is not a whole" in bench.refused(bench.put(f"t.{suffix}", GOOD))


def test_avro_of_several_types(bench: Bench) -> None:
    fastavro = pytest.importorskip("fastavro")
    fields = [
        {"name": "u", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "e", "type": {"type": "enum", "name": "colour", "symbols": ["red", "blue"]}},
        {"name": "w", "type": ["int", "long", "null"]},
        {"name": "z", "type": ["null", "int", "double"]},
        {"name": "late", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {"name": "mixed", "type": ["string", "int"]},
        {"name": "raw", "type": "bytes"},
        {"name": "y", "type": "int"},
    ]
    day, key = datetime.datetime(2024, 5, 6, 7), uuid.UUID(int=5)
    row = {"u": key, "e": "red", "w": 2**40, "z": None, "late": day, "mixed": "a", "raw": b"1"}
    rows = [row | {"y": 0}, row | {"e": "blue", "w": None, "z": 1, "y": 1}]
    path = bench.source / "t.avro"
    with path.open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "r", "fields": fields}, rows)
    assert bench.read(path, exclude_columns=["mixed", "raw"]).to_pydict() == {
        "u": [str(key)] * 2,
        "e": ["red", "blue"],
        "w": [2**40, None],
        "z": [None, 1.0],
        "late": [day] * 2,
        "y": [0, 1],
    }


PACKED = {
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


@pytest.mark.parametrize("suffix", PACKED)
def test_compressed_text_is_whole_or_refused(bench: Bench, suffix: str) -> None:
    packed = PACKED[suffix](GOOD.encode())
    for name in (f"t.csv.{suffix}", "t.csv"):  # told by its bytes
        assert bench.read(bench.put(name, packed)).num_rows == 40
    lines = "".join(f'{{"a": {i}, "y": {i % 2}}}\n' for i in range(900)).encode()
    path = bench.put(f"t.jsonl.{suffix}", PACKED[suffix](lines))
    assert bench.read(path).num_rows == 900
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ShipwayError, match=rf"t\.jsonl\.{suffix}' is not a whole"):
        bench.read(path)


def part(bench: Bench, folder: str, start: int, name: str = "p.csv") -> None:
    if name.endswith("csv"):
        bench.put(f"{folder}/{name}", f"a,y\n{start},0\n{start + 1},1\n")
    elif name.endswith("jsonl"):
        rows = f'{{"a": {start}, "y": 0}}\n{{"a": {start + 1}, "y": 1}}\n'
        bench.put(f"{folder}/{name}", rows)
    else:
        path = bench.put(f"{folder}/{name}", b"")
        pq.write_table(pa.table({"a": [start, start + 1], "y": [0, 1]}), path)


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.parquet"])
def test_folder_names_become_columns(bench: Bench, name: str) -> None:
    part(bench, "year=2023/month=11/day=2023-11-05/at=New%20York/code=007", 0, name)
    null = "__HIVE_DEFAULT_PARTITION__"
    part(bench, f"year=2024/month=05/day=2024-05-01/at={null}/code=12", 2, name)
    table = bench.read(bench.source)
    first, second = datetime.datetime(2023, 11, 5), datetime.datetime(2024, 5, 1)
    assert table.to_pydict() == {
        "a": [0, 1, 2, 3],
        "y": [0, 1, 0, 1],
        "year": [2023, 2023, 2024, 2024],
        "month": [11, 11, 5, 5],
        "day": [first, first, second, second],
        "at": ["New York", "New York", None, None],
        "code": ["007", "007", "12", "12"],
    }
    assert bench.says("year (integer), month (integer), day (date), at (text), code (text)")
    assert bench.read(bench.source, exclude_columns=["day", "at"], row_limit=3).num_rows == 3
    only = bench.read(bench.source, exclude_columns=["a", "day", "at", "code", "month"])
    assert only.column("year").to_pylist() == [2023, 2023, 2024, 2024]


def test_folders_that_a_uri_names_itself_are_no_columns(bench: Bench) -> None:
    part(bench, "year=2024/month=1", 0)
    part(bench, "year=2024/month=2", 2)
    assert bench.read(bench.source / "year=2024").column_names == ["a", "y", "month"]
    glob = bench.read(bench.source / "year=*" / "month=2" / "*")
    assert glob.to_pydict() == {"a": [2, 3], "y": [0, 1], "year": [2024] * 2, "month": [2] * 2}
    single = bench.read(bench.source / "year=2024" / "month=1" / "p.csv")
    assert single.column_names == ["a", "y"]


def test_the_label_may_be_a_folder(bench: Bench) -> None:
    bench.put("y=yes/p.csv", "a\n1\n2\n")
    bench.put("y=no/p.csv", "a\n3\n")
    assert bench.read(bench.source).to_pydict() == {"a": [3, 1, 2], "y": ["no", "yes", "yes"]}


def test_a_folder_and_a_file_must_agree(bench: Bench) -> None:
    bench.put("b=01/p.csv", "a,b,y\n1, 1,0\n2,1,1\n")
    bench.put("b=2/p.csv", "a,b,y\n1,2,0\n")
    assert bench.read(bench.source).column("b").to_pylist() == [1, 1, 2]
    bench.put("b=3/p.csv", "a,b,y\n1,4,0\n")
    with pytest.raises(ShipwayError, match=r"'b' of '.*b=3/p\.csv' holds other values.*exclude"):
        bench.read(bench.source)
    assert bench.read(bench.source, exclude_columns=["b"]).num_rows == 4
    bench.put("p.csv", "a,b,y\n1,4,0\n")
    with pytest.raises(ShipwayError, match=r"p\.csv' lies in folders of.*same partitions"):
        bench.read(bench.source)


def test_many_objects_have_a_digest_and_a_list_on_the_page(bench: Bench) -> None:
    for place in range(30):
        part(bench, f"k={place}", place)
    bench.read(bench.source)
    digest = str(bench.metadata["source_generation"])
    assert re.fullmatch(r"30 objects, sha256:[0-9a-f]{64}", digest)
    for place in range(30):
        state = (bench.source / f"k={place}" / "p.csv").stat().st_mtime_ns
        assert bench.says(str(state))
    (bench.source / "k=7" / "p.csv").touch()
    bench.read(bench.source)
    assert bench.metadata["source_generation"] != digest


@pytest.fixture
def memory() -> Iterator[Any]:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def test_places_that_fsspec_knows(bench: Bench, memory: Any) -> None:
    for name in ("t/k=1/a.csv", "t/k=2/b.csv", "t/_SUCCESS", "t/.hidden.csv"):
        memory.pipe(f"/{name}", GOOD.encode())
    table = bench.read("memory://t")
    assert (table.num_rows, table.column("k").unique().to_pylist()) == (80, [1, 2])
    assert bench.read("memory://t/k=*/a.csv").num_rows == 40
    assert [one.uri for one in list_objects("memory://t/k=1/a.csv")] == ["memory://t/k=1/a.csv"]
    pq.write_table(pa.table({"a": range(9), "y": [0, 1, 0] * 3}), memory.open("/p.parquet", "wb"))
    assert "nothing at" in bench_refused_at(bench, "memory://u")


def bench_refused_at(bench: Bench, uri: str) -> str:
    with pytest.raises(ShipwayError) as caught:
        bench.read(uri)
    return str(caught.value)


def test_an_object_of_fsspec_that_changes_is_refused(
    bench: Bench, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/t.csv", GOOD.encode())
    original = type(memory).cat_file

    def written_meanwhile(self: Any, path: str, **more: Any) -> bytes:
        data: bytes = original(self, path, **more)
        memory.pipe("/t.csv", GOOD.encode())
        return data

    monkeypatch.setattr(type(memory), "cat_file", written_meanwhile)
    assert "t.csv' changed while it was read" in bench.refused("memory://t.csv")


def test_a_missing_package_of_a_place_is_named(bench: Bench) -> None:
    pytest.importorskip("fsspec")
    assert re.search(r"'az://c/t\.csv' needs a package.*adlfs", bench.refused("az://c/t.csv"))


@pytest.mark.parametrize(
    "uri",
    [
        "https://me:hunter2@host/t.csv",
        "s3://AKIA:hunter2@bucket/t.csv",
        "https://host/t.csv?sv=1&sig=hunter2",
        "https://host/t.csv?X-Amz-Signature=hunter2",
        "https://host/t.csv?access_token=hunter2",
        "sftp://me:hunter2@host/t.csv",
    ],
)
def test_a_secret_in_a_uri_is_refused_and_not_repeated(bench: Bench, uri: str) -> None:
    message = bench.refused(uri)
    assert "hunter2" not in message
    assert re.search(r"holds .*environment", message)


def test_harmless_addresses_are_no_secrets() -> None:
    refuse_secrets("https://host/t.csv?raw=true&monkey=1")
    refuse_secrets("sftp://me@host/t.csv")
    refuse_secrets("/data/a:b@c/t.csv")


def test_a_query_without_a_database_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match=r"no database.*postgresql://"):
        bench.read(bench.put("t.csv", GOOD), query="SELECT 1")


def test_parquet_of_many_row_groups_is_held_in_memory_a_few_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, group = 400_000, 20_000
    cells = np.random.default_rng(0).normal(size=rows)
    table = pa.table({"a": cells, "b": cells[::-1], "y": np.arange(rows) % 2})
    pq.write_table(table, bench.put("t.parquet", ""), row_group_size=group)
    monkeypatch.setattr(columnar_formats, "RUN_BYTES", 1 << 20)
    before = pa.total_allocated_bytes()
    held = [
        pa.total_allocated_bytes() - before
        for _ in columnar_formats.FORMATS["parquet"].batches(
            (bench.source / "t.parquet").open("rb"), ["a", "b", "y"], group
        )
    ]
    assert len(held) == rows // group
    assert max(held) < table.nbytes / 3
    assert bench.read(bench.source).equals(table.replace_schema_metadata())
