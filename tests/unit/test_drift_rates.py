"""Random halves raise no alarm, seasons do. SHIPWAY_DRIFT_REPETITIONS asks for more of them."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom

from tests.unit.drifting import columns, judge, moved, table

FULL = int(os.environ.get("SHIPWAY_DRIFT_REPETITIONS", "0"))


@pytest.fixture(scope="module")
def flights(shared_data: Path) -> dict[int, pa.Table]:
    """The flights of each month."""
    table = pq.read_table(shared_data / "nyc-flights" / "flights.parquet")
    months = table.column("month").to_numpy()
    return {month: table.filter(pa.array(months == month)) for month in range(1, 13)}


@pytest.mark.slow
def test_flights_drift_with_the_season_and_not_by_their_codes(
    flights: dict[int, pa.Table],
) -> None:
    base = pa.concat_tables([flights[month] for month in (1, 2, 3)])
    months = range(4, 13) if FULL else (4, 7)
    failed = {}
    for month in months:
        decision = judge(base, flights[month], label="late")
        failed[month] = {rule.slice: rule.value for rule in decision.failures}
        steady = {"year", "carrier", "origin", "dest", "sched_arr_time", "time_hour"}
        steady |= {"tailnum"} if month < 9 else set()  # a fleet is renewed slowly
        assert not steady & set(failed[month])
        assert {"month", "wx_temp", "wx_dewp", ""} <= set(failed[month])
        if FULL:
            print(
                month, decision.verdict, len(failed[month]), len(decision.warnings), failed[month]
            )
    assert failed[7]["wx_temp"] > 0.9 > failed[4]["wx_temp"]
    assert failed[7]["wx_dewp"] > failed[4]["wx_dewp"]


def halves(table: pa.Table, rows: int, seed: int) -> tuple[pa.Table, pa.Table]:
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return table.take(order[:rows]), table.take(order[rows : 2 * rows])


@pytest.mark.parametrize("kind", ["made", "flights"])
def test_random_halves_raise_no_alarm_beyond_the_stated_rate(
    kind: str, request: pytest.FixtureRequest
) -> None:
    repetitions, rows = (FULL, 5_000) if FULL else (6, 1_000)
    if kind == "flights":
        table_ = pa.concat_tables(request.getfixturevalue("flights").values())
    else:
        table_ = table(columns(2 * rows, 0)).drop_columns(["row_id"])
    rate, alarms = 0.01, 0
    for seed in range(repetitions):
        first, second = halves(table_, rows, seed)
        decision = judge(first, second, false_alarm_rate=rate)
        alarms += bool(moved(decision))
    allowed = binom.ppf(0.995, repetitions, rate)
    print(kind, alarms, "of", repetitions)
    assert alarms <= allowed
