import datetime
import html
import json
import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.ingest import privacy
from shipway.components.ingest.inspection import Wishes
from shipway.components.ingest.logic import Request, ingest
from shipway.components.ingest.privacy import Guard, code_of, mask, read_policies
from shipway.components.ingest.privacy_groups import Groups
from shipway.components.ingest.privacy_scan import scan, words_of
from shipway.components.lib.errors import ShipwayError
from shipway.components.lib.private import private_columns
from shipway.components.lib.slices import choose_slices
from shipway.components.lib.tables import read_batches, read_schema, write_table

KEY = "a key of thirty-two characters.."
ROWS = 60


class Bench:
    """Ingests a table of persons and looks at everything that was written."""

    def __init__(self, folder: Path) -> None:
        self.source, self.dataset = folder / "source", folder / "out" / "dataset"
        self.page = folder / "out" / "page.html"

    def read(self, table: pa.Table, **wishes: Any) -> pa.Table:
        self.source.mkdir(exist_ok=True)
        pq.write_table(table, self.source / "t.parquet")
        about = wishes.pop("about_data", {})
        more = {k: wishes.pop(k) for k in ("label", "exclude_columns") if k in wishes}
        request = Request(
            str(self.source / "t.parquet"), **{"label": "y", **more},
            wishes=Wishes(**wishes), about_data=about,
        )  # fmt: skip
        self.metadata = ingest(request, self.dataset, self.page)
        return pq.read_table(self.dataset)

    def refused(self, table: pa.Table, **wishes: Any) -> str:
        with pytest.raises(ShipwayError) as caught:
            self.read(table, **wishes)
        assert not self.dataset.exists()
        return str(caught.value)

    def written(self) -> str:
        texts = [self.page.read_text(), (self.dataset / "_datasheet.json").read_text()]
        return html.unescape(re.sub("<wbr>|<bdi>|</bdi>", "", "\n".join(texts)))

    def sheet(self) -> dict[str, Any]:
        sheet: dict[str, Any] = json.loads((self.dataset / "_datasheet.json").read_text())
        return sheet


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv(privacy.KEY_VARIABLE, KEY)
    return Bench(tmp_path)


def persons(rows: int = ROWS, **more: Any) -> pa.Table:
    draw = random.Random(0)
    day = datetime.datetime(1980, 3, 14, 15)
    columns = {
        "mail": [f"person{i}@mail.example.org" for i in range(rows)],
        "seen": [day + datetime.timedelta(days=37 * i) for i in range(rows)],
        "age": [18 + i % 47 for i in range(rows)],
        "income": [1_000.5 * (i % 9) for i in range(rows)],
        "town": [draw.choice(["Ulm", "Bern", "Graz"]) for _ in range(rows)],
        "y": [i % 2 for i in range(rows)],
    }
    return pa.table({**columns, **more})


def column_of(*values: object, kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"x": pa.array(values, kind)})


def changed(table: pa.Table, policy: str) -> list[Any]:
    policies = read_policies({"x": policy}, ["x"], "y")
    values: list[Any] = Guard.of(table.schema, policies, (), "y").apply(table)["x"].to_pylist()
    return values


# What is found.

FOUND = {
    "e-mail address": [
        f"write to joe.{i}@gmail.com please" if i % 9 == 0 else "x" for i in range(50)
    ],
    "payment card number": ["4111 1111 1111 1111", "5500-0000-0000-0004"],
    "IBAN": ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000"],
    "phone number": ["+41 44 668 18 00", "(650) 253-0000"],
    "IP address": ["10.1.2.3", "2001:db8::1"],
    "MAC address": ["00:1B:44:11:3A:B7", "00-1b-44-11-3a-b8"],
    "US social security number": ["078-05-1120", "219-09-9999"],
}


@pytest.mark.parametrize("kind", FOUND)
def test_personal_data_is_found_by_its_form_whatever_the_column_is_called(kind: str) -> None:
    findings = scan(pa.table({"c7": FOUND[kind]}))
    assert [one.kind for one in findings] == [kind]
    assert not findings[0].hinted and findings[0].share > 0


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("firstName", ["Ann", "Bob", "Eve"], "person's name"),
        ("customerID", ["7590-VHVEG", "5575-GNVDE"], "identifier of a person"),
        ("date_of_birth", [datetime.date(1980, 1, i) for i in (1, 2, 3)], "date of birth"),
        ("HomeAddress", ["Main St 1", "Elm St 2"], "street address"),
        ("passport_no", ["C01X00T47", "C01X00T48"], "identity document"),
        ("mobile", [6502530000, 4155552671], "phone number"),
        ("ssn", [78051120 + 10**8, 219099999], "US social security number"),
        ("n", [4111111111111111, 5500000000000004], "payment card number"),
    ],
)
def test_a_name_tells_where_the_form_does_not(name: str, values: list[Any], kind: str) -> None:
    assert kind in [one.kind for one in scan(pa.table({name: values}))]


def harmless() -> dict[str, list[Any]]:
    draw = random.Random(1)
    return {
        "sixteen_digits": [str(draw.randrange(10**15, 10**16)) for _ in range(500)],
        "nine_digits": [draw.randrange(10**8, 10**9) for _ in range(500)],
        "ten_digits": [str(draw.randrange(10**9, 10**10)) for _ in range(500)],
        "big": [draw.randrange(10**15, 10**16) for _ in range(500)],
        "codes": [
            f"AB{draw.randrange(10**8):08d}CD{draw.randrange(10**6):06d}" for _ in range(500)
        ],
        "dates": [f"2024-{i % 12 + 1:02d}-{i % 28 + 1:02d} 10:00:00" for i in range(500)],
        "version": [f"{i % 9}.{i % 7}.{i}" for i in range(500)],
        "price": [f"{draw.random() * 1e6:.2f}" for _ in range(500)],
        "phone_service": ["Yes", "No"] * 250,
        "emails_sent": list(range(500)),
        "product_name": [f"thing {i}" for i in range(500)],
        "account_type": ["free", "paid"] * 250,
        "coordinates": [f"{draw.uniform(-90, 90):.9f}" for _ in range(500)],
        "hex": [f"{draw.getrandbits(64):016x}" for _ in range(500)],
        "nothing": [None] * 500,
    }


def test_numbers_and_codes_are_not_called_personal() -> None:
    assert scan(pa.table(harmless())) == []


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("chicago-taxi/chicago_taxi.csv", []),
        ("telco-churn/telco_churn.csv", ["customerID"]),
        ("penguins/penguins.csv", []),
        ("diamonds/diamonds.csv", []),
        ("nyc-flights/flights.parquet", []),
    ],
)
def test_no_false_alarm_on_the_shared_tables(
    shared_data: Path, table: str, expected: list[str]
) -> None:
    import pyarrow.csv as pacsv

    path = shared_data / table
    rows = pq.read_table(path) if path.suffix == ".parquet" else pacsv.read_csv(path)
    assert [one.column for one in scan(rows.slice(0, 5_000))] == expected


def test_names_are_read_as_words() -> None:
    assert words_of("customerID") == words_of("Customer_Id") == "customer id"


# What policies do.


@pytest.mark.parametrize(
    ("policy", "values", "expected"),
    [
        ("bucket:10", [7, 18, -1, None], [0, 10, -10, None]),
        ("bucket:0.5", [0.7, 1.0, None], [0.5, 1.0, None]),
        ("bucket:0 18 65", [-3, 17, 18, 99, None], [0, 0, 18, 65, None]),
        ("keep", ["a", None], ["a", None]),
        ("mask", ["Anna-Lena", "", None, "x1"], ["A***-****", "", None, "**"]),
        ("mask", [6502530042], ["********42"]),
    ],
)
def test_what_a_policy_makes_of_values(policy: str, values: list[Any], expected: list[Any]) -> None:
    assert changed(column_of(*values), policy) == expected


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("day", datetime.datetime(2024, 5, 16)),
        ("week", datetime.datetime(2024, 5, 13)),
        ("month", datetime.datetime(2024, 5, 1)),
        ("quarter", datetime.datetime(2024, 4, 1)),
        ("year", datetime.datetime(2024, 1, 1)),
    ],
)
def test_times_are_put_into_buckets(unit: str, expected: datetime.datetime) -> None:
    moment = datetime.datetime(2024, 5, 16, 13, 14)
    assert changed(column_of(moment, None), f"bucket:{unit}") == [expected, None]
    assert changed(column_of(moment.date(), kind=pa.date32()), f"bucket:{unit}") == [
        expected.date()
    ]


def test_a_mask_keeps_the_shape() -> None:
    assert mask("+41 44 668 18 00") == "+** ** *** ** 00"
    assert mask("joe.doe@gmail.com") == "j**.***@*****.***"
    assert mask("12345") == "*****"


def test_a_hash_is_keyed_and_the_same_in_every_type_and_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(privacy.KEY_VARIABLE, KEY)
    whole = changed(column_of(7, None, 8, 7), "hash")
    assert whole == [code_of("7", KEY.encode()), None, code_of("8", KEY.encode()), whole[0]]
    assert changed(column_of(7.0, float("nan")), "hash") == [whole[0], None]
    assert changed(column_of("7"), "hash") == [whole[0]]
    assert re.fullmatch("[0-9a-f]{32}", whole[0])
    moment = datetime.datetime(2024, 5, 16, 13)
    coarse, fine = (column_of(moment, kind=pa.timestamp(unit)) for unit in ("s", "ns"))
    assert changed(coarse, "hash") == changed(fine, "hash")
    monkeypatch.setenv(privacy.KEY_VARIABLE, KEY[::-1])
    assert changed(column_of(7), "hash") != whole[:1]


# What comes out of ingest.

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


# How well rows hide.


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
