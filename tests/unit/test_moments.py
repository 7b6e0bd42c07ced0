"""Columns of times as numbers, whatever they are written as."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.lib.moments import seconds_of, times_of

NOON = 1_704_110_400.0  # 2024-01-01T12:00:00 in UTC
DAY = datetime.date(2024, 1, 1)
BERN = datetime.timezone(datetime.timedelta(hours=1))
AT_ONE = datetime.datetime(2024, 1, 1, 13, tzinfo=BERN)
WRITTEN = {
    "a date": (pa.array([DAY, None], pa.date32()), NOON - 43_200),
    "date in milliseconds": (pa.array([DAY, None], pa.date64()), NOON - 43_200),
    "no zone": (pa.array([datetime.datetime(2024, 1, 1, 12), None]), NOON),
    "nanoseconds": (pa.array([int(NOON) * 10**9 + 1, None], pa.timestamp("ns")), NOON),
    "a zone": (pa.array([AT_ONE, None], pa.timestamp("s", "+01:00")), NOON),
    "text": (pa.array(["2024-01-01T12:00:00", None]), NOON),
    "text of a day": (pa.array(["2024-01-01", None]), NOON - 43_200),
    "text in UTC": (pa.array(["2024-01-01T12:00:00Z", None], pa.large_string()), NOON),
    "text with a zone": (pa.array(["2024-01-01 13:00:00+01:00", None]), NOON),
    "text with blanks": (pa.array([" 2024-01-01T12:00:00.000 ", None]), NOON),
    "categories": (pa.array(["2024-01-01T12:00:00", None]).dictionary_encode(), NOON),
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("read", [seconds_of, times_of])
def test_a_moment_is_its_seconds_however_it_is_written(name: str, read) -> None:
    column, seconds = WRITTEN[name]
    np.testing.assert_array_equal(read(pa.chunked_array([column])), [seconds, np.nan])


def test_ways_of_writing_may_be_mixed_and_what_is_no_moment_is_missing() -> None:
    texts = ["2024-01-01", "2024-01-01T13:00:00+01:00", "soon", None, "2024-01-01T12:00:00.5"]
    expected = [NOON - 43_200, NOON, np.nan, np.nan, NOON + 0.5]
    np.testing.assert_array_equal(seconds_of(pa.chunked_array([texts[:2], texts[2:]])), expected)


def test_a_number_orders_rows_but_is_no_moment() -> None:
    column = pa.chunked_array([[3.0, None, float("inf")]])
    np.testing.assert_array_equal(times_of(column), [3.0, np.nan, np.nan])
    assert np.isnan(seconds_of(column)).all()


@pytest.mark.parametrize("kind", [pa.null(), pa.bool_(), pa.string(), pa.timestamp("us")], ids=str)
def test_a_column_without_a_moment_has_none(kind: pa.DataType) -> None:
    column = pa.chunked_array([pa.nulls(2, kind)])
    assert np.isnan(times_of(column)).all() and len(times_of(column)) == 2
    assert len(seconds_of(column.slice(0, 0))) == 0
