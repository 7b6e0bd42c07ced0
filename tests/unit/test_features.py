import decimal
import json
import math

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from sklearn.metrics import roc_auc_score

from shipway.components.lib.errors import DataError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.kinds import kind_of
from shipway.components.lib.labels import infer_task
from shipway.components.lib.tables import to_rows
from shipway.components.lib.transform import check_table
from shipway.components.lib.words import parse_moment, parse_number

ROWS = 400


def clean(rows: int = ROWS, seed: int = 0) -> pa.Table:
    """Training rows with one column of every kind; "n" and "amount" miss a cell."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=rows)
    hours = [int(hour) for hour in draw.integers(0, 24, rows)]
    days = [int(day) for day in draw.integers(1, 28, rows)]
    text = [f"2024-0{1 + day % 9}-{day:02}" for day in days]
    micros = draw.integers(0, 1_700_000_000_000_000, rows)
    columns = {
        "n": pa.array([None, *x[1:].tolist()]),
        "whole": pa.array(draw.integers(-5, 5, rows)),
        "unsigned": pa.array(draw.integers(0, 9, rows).astype(np.uint64)),
        "amount": pa.array([None, *(f"{1000 * abs(v):,.2f}" for v in x[1:])]),
        "word": pa.array(draw.choice(["yes", "no"], rows)),
        "flag": pa.array(draw.random(rows) < 0.5),
        "few": pa.array(draw.choice(["Zürich", "Bern", "東京"], rows)),
        "many": pa.array([f"straße {i}" for i in draw.integers(0, 80, rows)]),
        "day": pa.array(text),
        "time": pa.array([f"{d}T{h:02}:30:00Z" for d, h in zip(text, hours, strict=True)]),
        "moment": pa.array(micros, pa.timestamp("us")),
        "zoned": pa.array(micros[::-1], pa.timestamp("us", tz="Europe/Berlin")),
        "date": pa.array((micros // 86_400_000_000).astype(np.int32), pa.date32()),
        "label": pa.array(np.where(x + draw.normal(size=rows) > 0, "good", "bad")),
    }
    return pa.table(columns)


def fitted(table: pa.Table, **options: str | int) -> FeaturePlan:
    return fit_plan(table, "label", infer_task(table["label"]), **options)


@pytest.fixture(scope="module")
def plan() -> FeaturePlan:
    return fitted(clean())


def assert_three_ways_agree(plan: FeaturePlan, table: pa.Table) -> np.ndarray:
    """Batch, batch after a JSON round trip, and row by row from JSON: the same bits."""
    batch = plan.transform(table)
    read = FeaturePlan.from_json(json.loads(json.dumps(plan.to_json(), allow_nan=False)))
    transform_row = read.row_transformer()
    rows = json.loads(json.dumps(to_rows(table), allow_nan=False))
    single = np.stack([transform_row(row) for row in rows])
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert batch.shape == (table.num_rows, len(plan.feature_names))
    assert not np.isinf(batch).any()
    np.testing.assert_array_equal(batch.view(np.int32), read.transform(table).view(np.int32))
    np.testing.assert_array_equal(batch.view(np.int32), single.view(np.int32))
    return batch


NASTY = {
    "n": (pa.float64(), [-0.0, 0.0, 1e308, -1e308, math.nan, math.inf, 5e-324, 3.4028236e38]),
    "whole": (pa.int64(), [2**63 - 1, -(2**63), 2**53 + 1, 2**24 + 1, 0]),
    "unsigned": (pa.uint64(), [2**64 - 1, 2**63 + 1, 0]),
    "amount": (
        pa.string(),
        ["1,234,567.89", " -0.0 ", "1e400", "1,23", "1_000", "٣", "", "nan", "inf", "+.5", "-"],
    ),
    "word": (pa.string(), ["YES ", "\tno", "perhaps", "", "1"]),
    "flag": (pa.bool_(), [True, False]),
    "few": (pa.string(), ["Zürich", "  東京\u3000", "bern", "", " ", "\u2028", "e\u0301", "\x1f"]),
    "many": (pa.string(), ["straße 3", " straße 3\n", "STRASSE 3", "", "🛳", "\u00a0", "\x85"]),
    "day": (
        pa.string(),
        ["2024-02-29", "2023-02-29", " 2024-05-01 ", "20240501", "2024-05-01T01:00:00+14:00",
         "0001-01-01T00:00:00+05:00", "9999-12-31", "today", "", "2024-W18-3"],
    ),
    "time": (
        pa.string(),
        ["2024-05-01T10:30:59.999999Z", "2024-05-01T10:30:59-09:30", "2024-05-01 10:30",
         "9999-12-31T23:59:59-05:00", "2024-05-01T24:00:00Z", "2024-05-01T10:30:59.123456789Z"],
    ),
    "moment": (pa.timestamp("us"), [0, -1, -62_135_596_800_000_000, 253_402_300_799_999_999]),
    "zoned": (
        pa.timestamp("us", tz="Europe/Berlin"),
        [0, -1, 1_711_846_799_999_999, 1_711_846_800_000_000],
    ),
    "date": (pa.date32(), [0, -1, -719_162, 2_932_896]),
}  # fmt: skip


def test_three_ways_agree_to_the_bit_on_the_training_rows(plan: FeaturePlan) -> None:
    assert {column.kind for column in plan.columns} == {
        "number", "text_number", "boolean", "category", "category_many", "datetime"
    }  # fmt: skip
    assert plan.dropped == []
    assert_three_ways_agree(plan, clean())


def test_three_ways_agree_to_the_bit_on_nasty_cells(plan: FeaturePlan) -> None:
    rows = max(len(values) for _, values in NASTY.values()) + 1
    table = pa.table(
        {
            name: pa.array((values + [None] * rows)[:rows], kind)
            for name, (kind, values) in NASTY.items()
        }
    )
    matrix = assert_three_ways_agree(plan, table)
    assert np.isnan(matrix[-1]).all()  # the row of nulls alone


def test_a_column_of_nulls_without_a_type_is_missing(plan: FeaturePlan) -> None:
    table = pa.table({column.name: pa.nulls(3) for column in plan.columns})
    assert np.isnan(assert_three_ways_agree(plan, table)).all()


def test_no_rows_make_no_features(plan: FeaturePlan) -> None:
    assert plan.transform(clean().slice(0, 0)).shape == (0, len(plan.feature_names))


def test_a_table_in_chunks_is_as_one_of_a_piece(plan: FeaturePlan) -> None:
    whole = clean()
    chunks = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 100), whole.slice(107)])
    assert plan.transform(chunks).tobytes() == plan.transform(whole).tobytes()


def test_other_resolutions_of_time_and_large_text_agree_too() -> None:
    table = clean()
    for unit in ("s", "ms", "ns"):
        kind = pa.timestamp(unit, tz="America/Caracas")
        changed = table.set_column(
            table.column_names.index("zoned"), "zoned", table["zoned"].cast(kind, safe=False)
        )
        assert_three_ways_agree(fitted(changed), changed)
    few = table.column_names.index("few")
    changed = table.set_column(few, "few", table["few"].cast(pa.large_string()))
    assert_three_ways_agree(fitted(changed), changed)


def test_decimals_agree_where_float32_rounds() -> None:
    # Half way between two float32 values, give or take the decimal's last digit.
    half_way = [decimal.Decimal(1 + (2 * k + 1) * 2.0**-24) for k in range(1000)]
    digit = decimal.Decimal("1e-16")
    values = [half.quantize(digit) + k * digit for half in half_way for k in (-1, 0, 1)]
    column = pa.array(values, pa.decimal128(30, 16))
    table = pa.table({"d": column, "label": [0.5 * i for i in range(len(values))]})
    assert_three_ways_agree(fitted(table), table)


@settings(max_examples=50, deadline=None)
@given(
    n=st.lists(st.none() | st.floats(), min_size=1, max_size=6),
    whole=st.integers(-(2**63), 2**63 - 1),
    text=st.text(max_size=12),
    number=st.floats(allow_nan=False).map(str) | st.integers().map(lambda v: f"{v:,}"),
    moment=st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(str),
)
def test_three_ways_agree_whatever_is_asked(
    plan: FeaturePlan, n: list[float | None], whole: int, text: str, number: str, moment: str
) -> None:
    table = clean(len(n))
    cells = {
        "n": pa.array(n, pa.float64()),
        "whole": pa.array([whole] * len(n)),
        "amount": pa.array([number, text, *[None] * len(n)][: len(n)]),
        "few": pa.array([text] * len(n), pa.string()),
        "many": pa.array([f" {text}"] * len(n), pa.string()),
        "time": pa.array([moment, text, *[None] * len(n)][: len(n)]),
    }
    for name, values in cells.items():
        table = table.set_column(table.column_names.index(name), name, values)
    assert_three_ways_agree(plan, table)


def test_beyond_float32_is_missing() -> None:
    table = pa.table({"a": [1e308, -1e308, 3.4e38, 1.0], "label": [1.0, 2.5, 3.0, 4.5]})
    matrix = assert_three_ways_agree(fitted(table), table)
    assert np.isnan(matrix[:, 0]).tolist() == [True, True, False, False]


def test_a_whole_number_beyond_float64_is_missing_in_a_request(plan: FeaturePlan) -> None:
    row = plan.row_transformer()
    nothing = row({}).view(np.int32)
    np.testing.assert_array_equal(row({"n": 10**400, "amount": -(10**400)}).view(np.int32), nothing)


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        ([None, None], "drop", "every value is missing"),
        ([2, 2, 2], "drop", "one value"),
        ([math.nan, math.inf], "drop", "finite"),
        ([2, None, 2], "number", "missing"),
        (["a", "a"], "drop", "one value"),
        ([" ", ""], "drop", "blank"),
        ([True, True], "drop", "one value"),
        ([True, False], "boolean", "true or false"),
        (["yes", "no", None], "boolean", "yes and no"),
        (["1,000", "2.5", None], "text_number", "numbers in text"),
        (["2024-01-01", "2024-01-02"], "datetime", "dates"),
        (["a", "b"], "category", "2 values"),
        ([f"u{i}" for i in range(60)], "drop", "identifier"),
        ([f"a long sentence about the thing {i}" for i in range(40)], "drop", "free text"),
        ([f"c{i % 40}" for i in range(200)], "category_many", "40 values"),
        ([[1], [2]], "drop", "no rule for columns of type list"),
    ],
)
def test_kinds_of_columns(values: list[object], kind: str, reason: str) -> None:
    found, why = kind_of(pa.chunked_array([pa.array(values)]))
    assert found == kind
    assert reason in why


def test_twins_and_groups_are_dropped_with_their_reason() -> None:
    table = clean()
    table = table.append_column("copy", table["whole"].cast(pa.float64()))
    table = table.append_column("person", pa.array([i % 50 for i in range(ROWS)]))
    plan = fitted(table, group_column="person")
    reasons = {column.name: column.reason for column in plan.dropped}
    assert reasons == {"copy": "it repeats column 'whole'", "person": "it groups the rows"}


def test_the_column_of_time_gives_no_running_date() -> None:
    names = fitted(clean(), time_column="moment").feature_names
    assert "moment.days" not in names
    assert {"moment.month", "moment.hour", "zoned.days"} <= set(names)


def test_nothing_to_learn_from_is_an_error_with_reasons() -> None:
    with pytest.raises(DataError, match=r"'a': it has one value only"):
        fitted(pa.table({"a": [1, 1], "label": ["x", "y"]}))


def test_nullable_says_what_training_saw_missing(plan: FeaturePlan) -> None:
    assert [column.name for column in plan.columns if column.nullable] == ["n", "amount"]


def test_a_missing_column_is_named_with_the_nearest(plan: FeaturePlan) -> None:
    table = clean()
    renamed = table.rename_columns(["amout" if n == "amount" else n for n in table.column_names])
    with pytest.raises(DataError, match=r"'amount' is missing.*'amout'"):
        plan.transform(renamed)


def test_a_column_of_another_type_is_named(plan: FeaturePlan) -> None:
    table = clean()
    for name, values in (("n", ["1"] * ROWS), ("few", [1] * ROWS), ("flag", [1] * ROWS)):
        changed = table.set_column(table.column_names.index(name), name, pa.array(values))
        with pytest.raises(DataError, match=f"Column '{name}' holds"):
            check_table(plan, changed)


def leak(rows: int = 4000) -> tuple[pa.Table, np.ndarray]:
    """A category of about five rows each that tells nothing of the label."""
    draw = np.random.default_rng(1)
    y = draw.integers(0, 2, rows)
    return pa.table({"c": [f"c{i}" for i in draw.integers(0, 800, rows)], "label": y}), y


def test_no_training_row_sees_its_own_label() -> None:
    table, y = leak()
    plan = fitted(table)
    assert plan.feature_names == ["c=mean", "c=count"]
    assert roc_auc_score(y, plan.transform(table)[:, 0]) > 0.65
    assert abs(roc_auc_score(y, plan.transform_training(table)[:, 0]) - 0.5) < 0.04


def test_changing_a_label_does_not_change_its_own_row() -> None:
    table, y = leak(1000)
    plan = fitted(table)
    before = plan.transform_training(table)
    changed = y.copy()
    changed[17] = 1 - changed[17]
    after = plan.transform_training(table.set_column(1, "label", pa.array(changed)))
    assert before[17].tobytes() == after[17].tobytes()
    assert (before[:, 0] != after[:, 0]).any()


def test_folds_are_drawn_by_the_seed() -> None:
    table, _ = leak(1000)
    first, same, other = (fitted(table, seed=s).transform_training(table) for s in (0, 0, 1))
    assert first.tobytes() == same.tobytes() != other.tobytes()


def test_rows_of_a_group_stay_in_one_fold() -> None:
    table, _ = leak()
    table = table.append_column("person", table["c"])
    plan = fitted(table, group_column="person")
    # No other fold knows the category, so every mean is the overall mean of the other folds.
    assert len(np.unique(plan.transform_training(table)[:, 0])) <= 5
    alone = fitted(table.select(["c", "label"]))
    assert len(np.unique(alone.transform_training(table)[:, 0])) > 50


def test_training_rows_need_their_label(plan: FeaturePlan) -> None:
    with pytest.raises(DataError, match="label"):
        plan.transform_training(clean().drop_columns(["label"]))


def test_rare_and_unseen_categories_share_a_code() -> None:
    values = ["a"] * 50 + ["b"] * 50 + ["rare"]
    plan = fitted(pa.table({"c": values, "label": [1.5 * i for i in range(101)]}))
    row = plan.row_transformer()
    assert row({"c": "rare"}) == row({"c": "never seen"})
    assert len({float(row({"c": v})[0]) for v in ("a", "b", "rare")}) == 3


def test_a_category_of_several_classes_gets_a_share_of_each() -> None:
    draw = np.random.default_rng(0)
    label = draw.choice(["x", "y", "z"], 400)
    table = pa.table({"c": [f"c{i}" for i in draw.integers(0, 60, 400)], "label": label})
    plan = fitted(table)
    assert plan.feature_names == [
        "c=share of x", "c=share of y", "c=share of z", "c=count"
    ]  # fmt: skip
    for matrix in (plan.transform(table), plan.transform_training(table)):
        np.testing.assert_allclose(matrix[:, :3].sum(axis=1), 1, atol=1e-6)


def test_numbers_and_moments_in_text() -> None:
    assert [parse_number(t) for t in ("1,234.5", " 7 ", "-1e3", ".5")] == [1234.5, 7, -1000, 0.5]
    for text in ("", ".", "1,23", "0x1f", "1 000", "1e999", "NaN", "12a"):
        assert math.isnan(parse_number(text)), text
    assert str(parse_moment("2024-05-01T01:00:00+02:00")) == "2024-04-30 23:00:00+00:00"
    for text in ("", "2024", "9999-12-31T23:59:59-05:00", "2024-13-01", "x" * 10):
        assert parse_moment(text) is None
