"""Personal data is found by its form or its column's name, and nothing else is."""

import datetime
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shipway.components.ingest.privacy_scan import scan, words_of

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
