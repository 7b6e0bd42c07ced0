import math

import pytest

from shipway.components.evaluate.range_words import range_words
from shipway.components.lib.encoders import ColumnPlan

CITY = ColumnPlan(
    "city", "category_many", "string", ["city=mean", "city=count"], "many", False,
    table={"Bern": [0.1, 5.0], "Rome": [0.2, 3.0], "Oslo": [0.3, 2.0], "Ulm": [0.4, 1.0]},
)  # fmt: skip
SEEN = ColumnPlan(
    "seen", "datetime", "string", ["seen.weekday", "seen.days", "seen.year"], "a date", False,
    parts=["weekday", "days", "year"],
)  # fmt: skip
LATE = ColumnPlan("late", "boolean", "boolean", ["late"], "true or false", False)
FARE = ColumnPlan("fare", "number", "number", ["fare"], "numbers", False)


@pytest.mark.parametrize(
    ("column", "output", "low", "high", "told"),
    [
        (CITY, 0, 0.1, 0.2, "Bern, Rome"),
        (CITY, 1, 5.0, 5.0, "Bern"),
        (CITY, 0, 0.0, 1.0, "Bern, Rome, Oslo and 1 more"),
        (CITY, 0, 0.15, 0.16, "values that training did not see"),
        (SEEN, 0, 0.0, 2.0, "Monday to Wednesday"),
        (SEEN, 1, 19230.4, 19461.0, "2022-08-26 to 2023-04-14"),
        (SEEN, 2, 1999.0, 2010.0, "1999 to 2010"),
        (LATE, 0, 0.0, 0.0, "no"),
        (FARE, 0, 1.25, 19230.4, "1.25 to 19,230"),
        (FARE, 0, 3.0, 3.0, "3"),
        (None, 0, -1.0, 1.0, "-1 to 1"),
    ],
)
def test_ranges_are_told_in_the_words_of_the_column(column, output, low, high, told):
    if column is CITY:  # features are rounded to float32 once
        low, high = low - math.ulp(1.0) * 1e9, high + math.ulp(1.0) * 1e9
    assert range_words(column, output, low, high) == told
