"""Kinds of columns beyond plain ones: told by their values, or asked for in a file of overrides."""

import datetime
import html
import math
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from shipway.components.features.logic import fit
from shipway.components.lib.clocks import clock_of_code, parse_clock, parse_duration
from shipway.components.lib.constraints import Constraints, constraint_parameters
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.kinds import kind_of
from shipway.components.lib.ngrams import hashed
from shipway.components.lib.orders import order_of
from shipway.components.lib.schema_file import marked
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import read_table, to_rows, write_table
from shipway.components.predictor.features import FeatureReader
from shipway.components.predictor.refusals import Refusal
from shipway.components.predictor.rows import read_instances
from shipway.components.predictor.schema import schema_of
from tests.every_kind import ASKED, OVERRIDES, every_kind, hostile, planned
from tests.unit.test_features import assert_three_ways_agree


@pytest.fixture(scope="module")
def plan() -> FeaturePlan:
    return planned(every_kind())


@pytest.fixture(scope="module")
def reader(plan: FeaturePlan) -> FeatureReader:
    return FeatureReader(schema_of(signature_of(plan, "m", 0.5, {}, "3")), plan)


def assert_requests_agree(plan: FeaturePlan, reader: FeatureReader, table: pa.Table) -> int:
    """The endpoint's lean and careful ways give the batch's bits for what they do not refuse."""
    answered = 0
    batch = assert_three_ways_agree(plan, table)
    for row, features in zip(to_rows(table), batch, strict=True):
        try:
            cells = read_instances({"instances": [row]}, reader._schema, 9)
        except Refusal:
            assert reader.read_rows([row]) is None  # what is refused is never read the lean way
            continue
        answered += 1
        ways = [reader.read_columns(cells), reader.read_rows([row])]
        for way in filter(None, ways):
            with np.errstate(over="ignore"):
                made = way.features.astype(np.float32)[0]
            made[np.isinf(made)] = math.nan
            np.testing.assert_array_equal(made.view(np.int32), features.view(np.int32))
    return answered


def test_every_kind_is_made_as_asked(plan: FeaturePlan) -> None:
    assert {column.name: column.kind for column in plan.columns} == ASKED
    assert [(column.name, column.reason) for column in plan.dropped] == [("room", "as asked")]
    asked = [column.name for column in plan.columns if column.reason.startswith("as asked")]
    assert set(ASKED) - set(asked) == {"booked", "east", "opens", "size", "lasted"}


def test_every_way_agrees_to_the_bit_on_the_training_rows(
    plan: FeaturePlan, reader: FeatureReader
) -> None:
    table = every_kind().drop_columns(["label", "room"])
    assert assert_requests_agree(plan, reader, table) == table.num_rows


def test_every_way_agrees_to_the_bit_on_hostile_cells(
    plan: FeaturePlan, reader: FeatureReader
) -> None:
    matrix = assert_three_ways_agree(plan, hostile())
    assert np.isnan(matrix[-1]).all()  # the row of nulls alone
    good = every_kind(1, seed=1)
    for name in ASKED:
        cells = hostile()[name]
        rows = pa.concat_tables([good] * len(cells))
        rows = rows.set_column(rows.column_names.index(name), name, cells)
        assert_requests_agree(plan, reader, rows.drop_columns(["label", "room"]))


@settings(max_examples=40, deadline=None)
@given(
    zone=st.none() | st.integers(-(2**63), 2**63 - 1),
    shop=st.none() | st.floats() | st.integers(95, 155).map(float),
    text=st.text(max_size=12),
    time=st.times().map(str) | st.text("0123456789:hms apPT", max_size=9),
    moment=st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30)),
    place=st.tuples(st.floats(), st.floats()),
)
def test_every_way_agrees_whatever_is_asked(
    plan: FeaturePlan,
    reader: FeatureReader,
    zone: int | None,
    shop: float | None,
    text: str,
    time: str,
    moment: datetime.datetime,
    place: tuple[float, float],
) -> None:
    cells = {
        "zone": pa.array([zone], pa.int64()), "shop": pa.array([shop], pa.float64()),
        "colour": [text], "note": [text], "size": [text], "opens": [time], "took": [time],
        "lasted": [time], "paid": [str(moment)], "booked": pa.array([moment], pa.timestamp("us")),
        "north": [place[0]], "east": [place[1]],
    }  # fmt: skip
    table = every_kind(1, seed=2).drop_columns(["label", "room"])
    for name, values in cells.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    assert_requests_agree(plan, reader, table)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("opens", "25:00", "a time of day, such as '13:45'; the text '25:00' came"),
        ("lasted", "soon", "a duration, such as '1h 30m' or '00:12:30'; the text 'soon' came"),
        ("starts", "13:45", "a time of day as hhmm, such as 1345 or null; the text '13:45' came"),
        ("zone", 1.5, "a whole number, which stands for a category or null; the number 1.5 came"),
        ("grade", None, "never had it missing"),
        ("note", 7, "text or null; the number 7 came"),
        ("north", "41.9", "a number or null; the text '41.9' came"),
    ],
)
def test_cells_of_another_kind_are_refused_by_both_ways(
    reader: FeatureReader, name: str, value: object, expected: str
) -> None:
    row = to_rows(every_kind(1, seed=2))[0] | {name: value}
    del row["label"]
    assert reader.read_rows([row]) is None
    with pytest.raises(Refusal, match=f"Row 0, column '{name}'") as caught:
        read_instances({"instances": [row]}, reader._schema, 9)
    assert expected in caught.value.message


def test_ages_and_places_are_what_they_are_called() -> None:
    table = pa.table(
        {
            "born": ["2000-01-01", "2010-01-01", "2020-01-01"],
            "at": ["2000-01-02", "2010-01-11", "2020-01-01"],
            "lat": [41.0, 42.0, 43.0],
            "lon": [-87.0, -87.0, -87.5],
            "label": [0.5, 1.5, 2.5],
        }
    )
    plan = planned(
        table,
        "columns:\n  at: {kind: date, parts: [days], reference: born}\n"
        "  born: {kind: date, parts: [year], reference: 2000-01-01}\n"
        "  lat: {kind: coordinates, longitude: lon}\n",
    )
    made = dict(zip(plan.feature_names, plan.transform(table).T.tolist(), strict=True))
    assert made["at.age"] == [1, 10, 0]
    assert made["born.age"] == [0, 3653, 7305]
    assert made["lat.distance"][1] == pytest.approx(13.8, abs=0.2)  # a sixth of a degree east
    assert made["lat.distance"][0] == pytest.approx(112, abs=2)


def test_numbers_that_are_categories_have_no_order_of_their_own() -> None:
    values = [10, 20, 30] * 40
    table = pa.table({"zone": values, "label": [{10: 2.0, 20: 9.0, 30: 1.0}[v] for v in values]})
    row = planned(table, "columns:\n  zone: {kind: category}\n").row_transformer()
    codes = {value: float(row({"zone": value})[0]) for value in (10, 20, 30)}
    assert sorted(codes, key=codes.__getitem__) == [30, 10, 20]
    assert row({"zone": 20.0}) == row({"zone": 20}) and row({"zone": 7}) == row({"zone": 8})


def test_an_age_is_measured_from_the_minute_of_its_reference() -> None:
    table = pa.table({"at": ["2024-01-31T12:45:00", "2024-02-01T12:30:00"], "label": [1.5, 2.5]})
    plan = planned(table, "columns:\n  at: {kind: date, reference: '2024-01-31T12:30:00'}\n")
    ages = plan.transform(table)[:, plan.feature_names.index("at.age")]
    assert ages.tolist() == pytest.approx([15 / 1_440, 1])


def test_a_reviewed_schema_makes_categories_of_whole_numbers_alone(tmp_path: Path) -> None:
    tag = 'annotation { tag: "shipway.kind=category" }'
    text = "".join(f'feature {{ name: "{name}" {tag} }}\n' for name in ("zone", "half"))
    (tmp_path / "schema").write_text(marked(text, "Ada"))
    columns = {"zone": [1, 2, 3, 4] * 9, "half": [0.5, 1.5] * 18, "label": [1.5, 2.5, 3.5] * 12}
    write_table(pa.table(columns), tmp_path / "train")
    plan = fit(
        tmp_path / "train", "label", tmp_path / "plan", tmp_path / "page",
        schema=tmp_path / "schema",
    )  # fmt: skip
    assert [(c.name, c.kind, c.dtype) for c in plan.columns] == [
        ("zone", "category", "number"), ("half", "number", "number")
    ]  # fmt: skip
    assert plan.columns[0].categories == ["1", "2", "3", "4"]


def test_an_ordered_category_may_be_held_to_its_order(plan: FeaturePlan) -> None:
    limits = Constraints({"colour": 1})
    signs = constraint_parameters(plan, limits, "reg:squarederror")["monotone_constraints"]
    assert signs[plan.feature_names.index("colour")] == 1 and sum(signs) == 1


def test_the_page_says_what_was_asked(tmp_path: Path) -> None:
    write_table(every_kind(), tmp_path / "train")
    (tmp_path / "features.yaml").write_text(OVERRIDES)
    plan = fit(
        tmp_path / "train", "label", tmp_path / "plan", tmp_path / "page",
        features_uri=str(tmp_path / "features.yaml"),
    )  # fmt: skip
    assert plan == planned(read_table(tmp_path / "train"))
    page = html.unescape((tmp_path / "page").read_text())
    for text in ("as asked: words in 8 buckets", "time of day", "rank of its step", "as asked: 8"):
        assert text in page


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("columns:\n- 1\n", ["a mapping of columns"]),
        ("colums:\n  zone: {}\n", ["'colums'", "Did you mean 'columns'?"]),
        ("zonne: {kind: drop}", ["'zonne'", "Did you mean 'zone'?", "take it out"]),
        ("label: {kind: drop}", ["'label'", "is the label"]),
        ("zone: {kind: categorie}", ["'zone'", "mean 'category'?", "coordinates"]),
        ("zone: category", ["'zone' names no kind", "Write 'kind:'"]),
        ("zone: {kind: category, order: [1]}", ["'zone' has 'order'", "It takes kind"]),
        ("note: {kind: text, bucket: 8}", ["'bucket'", "Did you mean 'buckets'?"]),
        ("note: {kind: text, buckets: 0}", ["'note'", "buckets is 0", "1 to 4,096"]),
        ("size: {kind: ordered, order: [no, yes]}", ["'size'", "need quotes"]),
        ("size: {kind: ordered, order: [S, S]}", ["'size'", "different"]),
        ("size: {kind: ordered, order: [s, xl]}", ["'size'", "0 of 400", "as they stand"]),
        ("room: {kind: ordered}", ["'room'", "not plain", "order: [...]"]),
        ("seen: {kind: date, parts: [hours]}", ["'hours'", "mean 'hour'?", "weekday"]),
        ("seen: {kind: date, reference: bookd}", ["'bookd'", "'booked'", "2024-01-31"]),
        ("seen: {kind: date, reference: label}", ["'label'", "could be a feature"]),
        ("seen: {kind: date, reference: zone}", ["'zone'", "neither a column of dates"]),
        (
            "seen: {kind: date, reference: booked}\n  booked: {kind: drop}",
            ["'seen' is made with 'booked'", "dropped: as asked"],
        ),
        ("east: {kind: category}", ["'east' holds double", "whole numbers"]),
        ("room: {kind: number}", ["'room' holds string", "a number"]),
        ("zone: {kind: date}", ["'zone' holds int64", "ISO 8601"]),
        ("zone: {kind: text}", ["'zone' holds int64", "text"]),
        ("room: {kind: duration}", ["'room'", "1h 30m"]),
        ("north: {kind: coordinates}", ["'north' lacks 'longitude'"]),
        ("north: {kind: coordinates, longitude: note}", ["'north'", "both must be"]),
        ("shop: {kind: coordinates, longitude: east}", ["'shop'", "'east'", "-90 and 90"]),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_with_the_cure(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        planned(every_kind(), text if "col" in text[:3] else f"columns:\n  {text}\n")
    for word in ["features_uri", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("values", "order"),
    [
        (["High", "low", "medium"], ["low", "medium", "High"]),
        (["XL", "S", "M"], ["S", "M", "XL"]),
        (["20+", "<10", "10-20"], ["<10", "10-20", "20+"]),
        (["65 and over", "18-24", "under 18"], ["under 18", "18-24", "65 and over"]),
        (["65 or more", "25 to 64", "<25"], ["<25", "25 to 64", "65 or more"]),
        (["$10k-$20k", "$0-$10k", "$20k+"], ["$0-$10k", "$10k-$20k", "$20k+"]),
        (["Q3", "Q1", "Q4"], ["Q1", "Q3", "Q4"]),
        (["agree", "neutral", "Strongly disagree"], ["Strongly disagree", "neutral", "agree"]),
        (["Level 10", "Level 2", "Level 1"], ["Level 1", "Level 2", "Level 10"]),
        (["low", "medium", "high", "n/a"], None),
        (["high", "High", "low"], None),
        (["zone 1", "zone 2", "zone 3"], None),
        (["10-20", "15-30", "30-40"], None),
        (["<10", ">20", "5+"], None),
        (["low", "high"], None),
        (["Month-to-month", "One year", "Two year"], None),
    ],
)  # fmt: skip
def test_an_order_is_taken_where_it_is_plain(values: list[str], order: list[str] | None) -> None:
    assert order_of(values) == order
    kind, _ = kind_of(pa.chunked_array([pa.array(values * 20)]))
    assert kind == ("category" if order is None else "ordered")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["08:30", "23:59", None], "clock"),
        (["08:30:15", "1:05 pm"], "clock"),
        (["30:12:00", "00:12:30"], "duration"),
        (["1h 30m", "45m"], "duration"),
        (["90 min", "2 hours"], "duration"),
        (["30m", "45m"], "category"),  # metres, perhaps
        (["30kg", "45kg"], "category"),
    ],
)
def test_times_of_day_and_durations_are_told_from_other_words(
    values: list[str | None], kind: str
) -> None:
    assert kind_of(pa.chunked_array([pa.array(values)]))[0] == kind


def test_clocks_durations_and_buckets_are_what_they_are_documented_to_be() -> None:
    durations = {"00:12:30": 750, "1h 30m": 5400, "P1DT1S": 86_401, "2 days and 3 hours": 183_600}
    assert {text: parse_duration(text) for text in durations} == durations
    clocks = {"13:45": 825, "12:30 am": 30, "12:30 PM": 750, "24:00": 1440, "0:00:30": 0.5}
    assert {text: parse_clock(text) for text in clocks} == clocks
    assert [clock_of_code(code) for code in (0, 59, 1345, 2400)] == [0, 59, 825, 1440]
    for wrong in (60, 1399, 2401, -1, 0.5, math.inf, math.nan, 10**400):
        assert math.isnan(clock_of_code(wrong))
    # The check value of CRC-32, as every description of it gives it, is 0xCBF43926.
    assert hashed("123456789", 16) == [float(bucket == 0x6) for bucket in range(16)]
    assert sum(hashed("Late, LATE again", 16)) == 5
