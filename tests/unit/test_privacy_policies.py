"""What a policy makes of the values of a column."""

import datetime
import re
from typing import Any

import pyarrow as pa
import pytest

from shipway.components.ingest import privacy
from shipway.components.ingest.privacy import Guard, code_of, mask, read_policies
from tests.unit.persons import KEY


def column_of(*values: object, kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"x": pa.array(values, kind)})


def changed(table: pa.Table, policy: str) -> list[Any]:
    policies = read_policies({"x": policy}, ["x"], "y")
    values: list[Any] = Guard.of(table.schema, policies, (), "y").apply(table)["x"].to_pylist()
    return values


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
