"""What comes out of ingestion: policies come first, warnings name columns, and rows hide or not."""

import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shipway.components.ingest import privacy
from shipway.components.ingest.inspection import Wishes
from shipway.components.ingest.logic import Request, ingest
from shipway.components.ingest.privacy_groups import Groups
from shipway.components.lib.private import private_columns
from shipway.components.lib.slices import choose_slices
from shipway.components.lib.tables import read_batches, read_schema, write_table
from tests.unit.persons import KEY, ROWS, Bench, persons


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv(privacy.KEY_VARIABLE, KEY)
    return Bench(tmp_path)


POLICIES = {"mail": "hash", "seen": "bucket:year", "age": "bucket:10", "town": "mask"}


def test_policies_are_applied_before_anything_is_written(bench: Bench) -> None:
    table = bench.read(persons(), privacy={**POLICIES, "income": "drop"})
    assert table.column_names == ["mail", "seen", "age", "town", "y"]
    assert set(table["age"].to_pylist()) == {10, 20, 30, 40, 50, 60}
    assert {moment.timetuple()[1:4] for moment in table["seen"].to_pylist()} == {(1, 1, 0)}
    assert set(table["town"].to_pylist()) == {"***", "B***", "G***"}
    for raw in ("mail.example.org", "1980-03-14", "Bern"):
        assert raw not in bench.written()
        assert raw.encode() not in b"".join(p.read_bytes() for p in bench.dataset.iterdir())
    assert KEY not in bench.written() + str(bench.metadata)
    assert "already changed in the same way" in bench.written()


def test_the_same_value_has_the_same_code_in_every_run_and_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.read(persons(), privacy={"mail": "hash"})["mail"].to_pylist()
    from shipway.components.ingest import columnar_reader

    for name in ("BATCH_ROWS", "BATCH_CELLS"):
        if hasattr(columnar_reader, name):
            monkeypatch.setattr(columnar_reader, name, 7)
    assert bench.read(persons(), privacy={"mail": "hash"})["mail"].to_pylist() == first
    assert len(set(first)) == ROWS


def test_private_columns_are_marked_and_stay_so_through_parquet(bench: Bench) -> None:
    bench.read(persons(), privacy={"town": "keep", "age": "bucket:10"})
    schema = read_schema(bench.dataset)
    assert private_columns(schema) == {"mail", "town"}
    again = bench.dataset.parent / "again"
    write_table(pa.Table.from_batches(list(read_batches(bench.dataset)), schema), again)
    assert private_columns(read_schema(again)) == {"mail", "town"}


def test_personal_data_without_a_policy_is_a_warning_that_names_the_column(bench: Bench) -> None:
    bench.read(persons())
    assert bench.metadata["personal_data"] == "mail: e-mail address"
    assert bench.metadata["personal_data_without_policy"] == 1.0
    assert "1 of them, without a policy" in bench.written()
    assert "person0@" not in bench.written()


def test_personal_data_stops_where_it_shall(bench: Bench) -> None:
    said = bench.refused(persons(), pii_action="stop")
    assert "'mail' (e-mail address)" in said and "privacy='mail=hash'" in said
    bench.read(persons(), pii_action="stop", privacy={"mail": "keep"})
    bench.read(persons(), pii_action="stop", exclude_columns=["mail"])


def late(rows: int) -> pa.Table:
    note = [f"note {i}" if i < rows - 5_000 else f"p{i}@example.org" for i in range(rows)]
    return pa.table({"note": note, "a": range(rows), "y": [i % 2 for i in range(rows)]})


def test_what_stands_late_in_a_table_is_found_and_private_too(bench: Bench) -> None:
    table = late(140_000)
    assert bench.read(table).num_rows == 140_000
    assert private_columns(read_schema(bench.dataset)) == {"note"}
    assert "note" in str(bench.metadata["personal_data"])
    (bench.dataset / "part-00000.parquet").unlink()
    (bench.dataset / "_datasheet.json").unlink()
    bench.dataset.rmdir()
    assert "'note' (e-mail address)" in bench.refused(table, pii_action="stop")


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"privacy": {"mial": "hash"}}, r"'mial'.*Did you mean 'mail'"),
        ({"privacy": {"mail": "hsah"}}, r"no policy. Did you mean 'hash'"),
        ({"privacy": {"mail": "hash:3"}}, "no policy"),
        ({"privacy": {"age": "bucket"}}, "no policy"),
        ({"privacy": {"age": "bucket:3 2"}}, "no policy"),
        ({"privacy": {"age": "bucket:-1"}}, "no policy"),
        ({"privacy": {"age": "bucket:month"}}, r"'age'.*int64.*Choose another"),
        ({"privacy": {"seen": "bucket:10"}}, r"'seen'.*timestamp"),
        ({"privacy": {"mail": "bucket:10"}}, r"'mail'.*string"),
        ({"privacy": {"y": "hash"}}, "label 'y'"),
        ({"pii_action": "halt"}, "warn or stop"),
        ({"quasi_identifiers": ["agee"]}, "Did you mean 'age'"),
        ({"quasi_identifiers": ["age"], "privacy": {"age": "drop"}}, "privacy drops"),
        (
            {"privacy": dict.fromkeys(["mail", "seen", "age", "income", "town"], "drop")},
            "every column beside the label",
        ),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(
    bench: Bench, wishes: dict[str, Any], expected: str
) -> None:
    assert re.search(expected, bench.refused(persons(), **wishes))


@pytest.mark.parametrize("key", ["", "short"])
def test_a_hash_without_a_key_is_refused_with_the_cure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(privacy.KEY_VARIABLE, key)
    said = bench.refused(persons(), privacy={"mail": "hash"})
    assert "SHIPWAY_PRIVACY_KEY" in said and "openssl rand -hex 32" in said
    assert "shipway-privacy" in said and (not key or key not in said.replace("shorter", ""))


def test_rejected_rows_show_no_text_where_columns_have_policies(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"p{i}@example.org,{i % 2}\n" for i in range(50))
    path.write_text(f"mail,y\n{rows}secret@example.org,1,1\n")
    request = Request(str(path), "y", maximum_rejected_share=0.1, wishes=Wishes({"mail": "keep"}))
    ingest(request, tmp_path / "dataset", tmp_path / "page.html")
    rejects = (tmp_path / "dataset" / "_rejects.jsonl").read_text()
    assert "secret" not in rejects and "withheld" in rejects
    assert "secret" not in (tmp_path / "page.html").read_text()


def test_private_columns_are_no_slices_by_themselves(bench: Bench) -> None:
    bench.read(persons(), privacy={"town": "keep"})
    assert choose_slices(bench.dataset, "y") == []
    bench.read(persons())
    assert {part.name.partition("=")[0] for part in choose_slices(bench.dataset, "y")} == {"town"}


def test_groups_are_counted_exactly_over_batches_and_as_written(bench: Bench) -> None:
    ages = [20] * 30 + [27] * 3 + [61] * 27
    bench.read(
        persons(age=ages, town=["Ulm"] * 58 + [None] * 2),
        quasi_identifiers=["age", "town"], privacy={"age": "bucket:10"},
    )  # fmt: skip
    # 33 twenties of Ulm, 25 sixties of Ulm, 2 sixties without a town.
    assert bench.metadata["k_anonymity"] == 2.0
    assert bench.metadata["rows_in_small_groups"] == 2.0
    assert bench.sheet()["privacy"]["anonymity"]["groups"] == 3


def test_groups_agree_with_a_plain_count() -> None:
    draw = random.Random(2)
    rows = [
        (draw.choice("abc"), draw.randrange(40), draw.choice([1.5, None])) for _ in range(3_000)
    ]
    table = pa.table({n: [row[i] for row in rows] for i, n in enumerate("xyz")})
    with Groups(["x", "y", "z"]) as groups:
        for start in range(0, 3_000, 500):
            groups.add(table.slice(start, 500))
        result = groups.result()
    sizes = [rows.count(row) for row in set(rows)]
    assert result is not None
    assert (result.rows, result.groups) == (3_000, len(sizes))
    assert result.smallest == min(sizes)
    assert result.small_rows == sum(size for size in sizes if size < 5)
