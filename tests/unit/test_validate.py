"""The validate step: TFDV runs for real, in the data image's environment, one process for all."""

import datetime
import decimal
import json
import sys

import numpy as np
import pyarrow as pa
import pytest

from shipway.components.lib.decision import Decision
from shipway.components.lib.errors import DataError
from shipway.components.lib.schema_file import marked
from shipway.components.lib.tables import write_table
from shipway.components.validate.casting import cast_column, plan_casts
from shipway.components.validate.chunks import plan_chunks, read_chunks
from shipway.components.validate.logic import Outputs, Settings, validate
from shipway.components.validate.profile import TextNumbers

ROWS = 200

DRIVER = """
import json, sys
from pathlib import Path
from shipway.components.validate.logic import Outputs, Settings, validate

seen = {}
for case in json.loads(Path(sys.argv[1]).read_text()):
    out = Path(case["out"])
    names = ("statistics.pb", "schema.pbtxt", "decision.json", "report.html")
    files = [out / name for name in names]
    result = {"error": ""}
    try:
        settings = Settings(case.get("schema", ""), **case.get("settings", {}))
        validate(Path(case["dataset"]), case["label"], Outputs(*files), settings)
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
    result["written"] = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if not result["error"]:
        import tensorflow_data_validation as tfdv
        statistics = tfdv.load_stats_binary(str(files[0])).datasets[0]
        schema = tfdv.load_schema_text(str(files[1]))
        result["rows"] = statistics.num_examples
        result["features"] = {
            f.path.step[0]: {
                "type": int(f.type),
                "missing": getattr(f, f.WhichOneof("stats")).common_stats.num_missing,
                "minimum": f.num_stats.min if f.WhichOneof("stats") == "num_stats" else None,
                "maximum": f.num_stats.max if f.WhichOneof("stats") == "num_stats" else None,
            }
            for f in statistics.features
        }
        result["serving_without"] = [
            f.name for f in schema.feature if "SERVING" in f.not_in_environment
        ]
        result["environments"] = list(schema.default_environment)
        datasets = tfdv.load_stats_binary(str(files[0])).datasets
        result["datasets"] = {dataset.name: dataset.num_examples for dataset in datasets}
        result["same_text"] = files[1].read_text() == Path(case.get("schema", files[1])).read_text()
    seen[case["name"]] = result
Path(sys.argv[2]).write_text(json.dumps(seen))
"""


def good_table(rows=ROWS, **changes):
    random = np.random.default_rng(0)
    columns = {
        "fare": pa.array(random.normal(10, 2, rows).clip(0.5)),
        "seats": pa.array(random.integers(1, 6, rows)),
        "company": pa.array(random.choice(["red", "green", "blue"], rows)),
        "paid": pa.array(random.random(rows) < 0.5),
        "label": pa.array(random.choice(["yes", "no"], rows)),
    }
    columns |= changes
    return pa.table({name: column for name, column in columns.items() if column is not None})


def odd_table():
    """Every kind of column that TFDV drops or raises on, and every thing worth a warning."""
    moment = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    hours = [moment + datetime.timedelta(hours=i) for i in range(ROWS)]
    text = [str(i % 7) for i in range(ROWS)]
    text[16], text[40] = "n/a", " "
    return good_table(
        at=pa.array([*hours[:-1], None], pa.timestamp("us", "UTC")),
        day=pa.array([hour.date() for hour in hours]),
        clock=pa.array([hour.time() for hour in hours], pa.time32("s")),
        wait=pa.array([datetime.timedelta(seconds=i) for i in range(ROWS)], pa.duration("ms")),
        price=pa.array([decimal.Decimal("1.25")] * ROWS),
        coded=pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
        wide_text=pa.array(["x", "y"] * (ROWS // 2), pa.large_string()),
        nothing=pa.nulls(ROWS),
        no_number=pa.array([None] * ROWS, pa.float64()),
        nested=pa.array([{"a": 1}] * ROWS),
        items=pa.array([[1, 2], []] * (ROWS // 2)),
        huge=pa.array([2**64 - 1 - i % 3 for i in range(ROWS)], pa.uint64()),
        ratio=pa.array([float("inf"), float("nan"), 1.0, 2.0] * (ROWS // 4)),
        rare=pa.array([1.0, 2.0] + [None] * (ROWS - 2)),
        ident=pa.array([f"id-{i}" for i in range(ROWS)]),
        number=pa.array(range(1000, 1000 + ROWS)),
        mixed=pa.array(text),
        **{"\u05e9\u05dd <b>.x": pa.array(["same"] * ROWS)},
    )


GIVEN = """
feature {{ name: "fare" type: FLOAT presence {{ min_fraction: 1 min_count: 1 }}
          float_domain {{ min: 0 max: {fare} }} }}
feature {{ name: "seats" type: INT presence {{ min_fraction: 1 }} }}
feature {{ name: "company" type: BYTES presence {{ min_fraction: 0.5 }}
          string_domain {{ value: "red" value: "green" value: "blue" }} }}
feature {{ name: "paid" type: INT presence {{ min_fraction: 0.5 }} }}
feature {{ name: "label" type: BYTES presence {{ min_fraction: 1 }} not_in_environment: "SERVING" }}
default_environment: "TRAINING" default_environment: "SERVING"
dataset_constraints {{ min_examples_count: {rows} }}
"""


def settings():
    """Name of a case -> settings of validate beside the schema."""
    return {
        "sliced": {"slice_columns": ["company", "seats", "fare", "person"]},
        "sampled": {"sample_rows": 1_000, "slice_columns": ["company"]},
    }


def cases():
    """Name -> table, label, schema text."""
    strict, roomy = GIVEN.format(fare=1, rows=10_000), GIVEN.format(fare=100, rows=10)
    company = good_table()["company"].to_pylist()
    few = ["yes"] * 100 + ["no"] * 95 + ["maybe"] * 5
    gaps = [None if i < 3 else v for i, v in enumerate(good_table()["label"].to_pylist())]
    return {
        "good": (good_table(), "label", ""),
        "odd": (odd_table(), "label", ""),
        "small": (good_table(30), "label", ""),
        "empty": (good_table().slice(0, 0), "label", ""),
        "constant_label": (good_table(label=pa.array(["yes"] * ROWS)), "label", ""),
        "rare_class": (good_table(label=pa.array(few)), "label", ""),
        "label_gaps": (good_table(label=pa.array(gaps)), "label", ""),
        "no_label": (good_table(), "lable", ""),
        "fits": (good_table(), "label", roomy),
        "category": (good_table(company=pa.array([*company[:-3], *["pink"] * 3])), "label", roomy),
        "missing_column": (good_table(seats=None), "label", roomy),
        "new_column": (good_table(tips=good_table()["fare"]), "label", roomy),
        "type": (good_table(fare=pa.array(["much"] * ROWS)), "label", roomy),
        "range_and_size": (good_table(), "label", strict),
        "reviewed": (good_table(), "label", marked(roomy, "Ada")),
        "edited": (good_table(), "label", marked(roomy, "Ada") + " "),
        "sliced": (good_table(person=pa.array([f"p{i % 30}" for i in range(ROWS)])), "label", ""),
        "sampled": (good_table(5_000), "label", GIVEN.format(fare=100, rows=3_000)),
        "no_schema": (good_table(), "label", "nowhere"),
        "not_a_schema": (good_table(), "label", "fature { nmae: 1 }"),
        "blank_schema": (good_table(), "label", " "),
        "wide": (
            pa.table(
                {
                    "label": ["a", "b"] * 30,
                    **{f"column number {i}": [i, 1] * 30 for i in range(1_200)},
                }
            ),
            "label",
            "",
        ),
    }


@pytest.fixture(scope="module")
def validated(drive, tmp_path_factory):
    """Every case, validated with TFDV in one process: name -> what came out."""
    folder = tmp_path_factory.mktemp("validate")
    todo = []
    for name, (table, label, schema) in cases().items():
        write_table(table, folder / name / "dataset")
        todo.append({"name": name, "label": label, "dataset": str(folder / name / "dataset")})
        todo[-1] |= {"out": str(folder / name / "out"), "settings": settings().get(name, {})}
        if schema:
            (folder / name / "given.pbtxt").write_text(schema)
            todo[-1]["schema"] = str(folder / name / "given.pbtxt")
        if schema == "nowhere":
            (folder / name / "given.pbtxt").unlink()
    (folder / "cases.json").write_text(json.dumps(todo))
    seen, said = drive(folder, DRIVER, folder / "cases.json")
    for name, result in seen.items():
        result["stderr"] = said
        if not result["error"]:
            result["decision"] = Decision.load(folder / name / "out" / "decision.json")
            result["page"] = (folder / name / "out" / "report.html").read_text()
    return seen


def found(result, verdict):
    return {(r.name, r.slice) for r in result["decision"].rules if r.verdict == verdict}


def names(result, verdict):
    return {name for name, _ in found(result, verdict)}


def test_a_good_table_passes_with_the_one_warning_that_nobody_reviewed_its_schema(validated):
    result = validated["good"]
    assert result["decision"].verdict == "pass"
    assert not found(result, "fail") and names(result, "warn") == {"schema.reviewed"}
    assert result["rows"] == ROWS and set(result["features"]) == set(good_table().column_names)


def test_an_inferred_schema_leaves_the_label_out_of_serving_and_says_it_is_unreviewed(validated):
    result = validated["good"]
    assert result["environments"] == ["TRAINING", "SERVING"]
    assert result["serving_without"] == ["label"]
    assert "Nobody reviewed this schema" in result["page"]
    assert "Nobody reviewed" not in validated["fits"]["page"]


def test_every_kind_of_column_is_measured_or_reported(validated):
    result = validated["odd"]
    assert result["error"] == ""
    unmeasured = {where for name, where in found(result, "warn") if name == "data.unmeasured"}
    assert unmeasured == {"column nested"}
    assert set(result["features"]) == set(odd_table().column_names) - {"nested"}
    seconds = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC).timestamp()
    assert result["features"]["at"]["minimum"] == seconds
    assert result["features"]["day"]["maximum"] == seconds + 8 * 86_400
    assert result["features"]["clock"]["maximum"] == 23 * 3_600
    assert result["features"]["wait"]["maximum"] == ROWS - 1
    assert result["features"]["price"]["minimum"] == 1.25
    assert result["features"]["ratio"] == {"type": 1, "missing": 100, "minimum": 1, "maximum": 2}
    assert result["features"]["paid"]["maximum"] == 1
    assert "at (time): as seconds since 1970" in result["page"]


def test_odd_columns_are_warned_about_and_do_not_stop(validated):
    result = validated["odd"]
    assert result["decision"].verdict == "pass"
    warned = found(result, "warn")
    for rule, columns in {
        "data.empty_column": {"nothing", "no_number"},
        "data.mostly_missing": {"rare"},
        "data.constant": {"price", "\u05e9\u05dd <b>.x"},
        "data.identifier": {"ident", "number"},
        "data.mixed_numbers": {"mixed"},
        "data.infinite": {"ratio"},
    }.items():
        assert {where for name, where in warned if name == rule} == {f"column {c}" for c in columns}
    mixed = next(r for r in result["decision"].warnings if r.name == "data.mixed_numbers")
    assert "2 of 200 values are not numbers (first: row 17, 'n/a')" in mixed.sentence


def test_the_page_has_a_row_for_every_column(validated):
    page = validated["odd"]["page"].replace("<wbr>", "")
    for name in odd_table().column_names:
        shown = name.encode("ascii", "xmlcharrefreplace").decode().replace("<b>", "&lt;b&gt;")
        assert f"<td>{shown}" in page or f"<td><bdi>{shown}" in page, name
    assert "<b>.x" not in page and len(page) < 1_000_000


def test_a_page_of_a_thousand_columns_is_whole_and_small(validated):
    page = validated["wide"]["page"]
    assert len(page) < 1_000_000
    assert all(f"<td>column number {i}<" in page for i in range(1_200))


def test_too_few_rows_stop(validated):
    rules = {rule.name: rule for rule in validated["small"]["decision"].failures}
    assert set(rules) == {"data.rows"}
    assert (rules["data.rows"].value, rules["data.rows"].bound) == (30.0, ">= 50")


def test_no_rows_at_all_stop_with_a_sentence(validated):
    assert validated["empty"]["error"] == ""
    assert {"data.rows", "label.learnable"} <= names(validated["empty"], "fail")


def test_labels_that_cannot_be_learnt_stop(validated):
    assert names(validated["constant_label"], "fail") == {"label.learnable"}
    assert names(validated["label_gaps"], "fail") == {"label.missing"}
    assert "missing in 3 of 200 rows" in validated["label_gaps"]["decision"].failures[0].sentence


def test_a_rare_class_is_a_warning_with_its_rows(validated):
    rules = validated["rare_class"]["decision"].warnings
    (rule,) = [rule for rule in rules if rule.name != "schema.reviewed"]
    assert (rule.name, rule.value, rule.slice) == ("label.class_rows", 5.0, "label=maybe")


def test_a_label_that_is_not_there_is_named_with_the_nearest_column(validated):
    result = validated["no_label"]
    assert "'lable' is not a column" in result["error"] and "'label'?" in result["error"]
    assert result["written"] == []


def test_a_given_schema_that_fits_passes(validated):
    result = validated["fits"]
    assert result["decision"].verdict == "pass" and names(result, "warn") == {"schema.reviewed"}
    assert "schema.fits" in names(result, "pass")


@pytest.mark.parametrize(
    ("case", "verdict", "finding", "cure"),
    [
        (
            "category",
            "fail",
            ("schema.enum_type_unexpected_string_values", "column company"),
            "domain in the schema",
        ),
        ("missing_column", "fail", ("schema.schema_missing_column", "column seats"), "Bring"),
        ("new_column", "warn", ("schema.schema_new_column", "column tips"), "Exclude the column"),
        (
            "range_and_size",
            "fail",
            ("schema.float_type_big_float", "column fare"),
            "raise the maximum",
        ),
        ("range_and_size", "fail", ("schema.dataset_low_num_examples", ""), "whole table"),
    ],
)
def test_what_a_given_schema_does_not_allow_is_found(validated, case, verdict, finding, cure):
    result = validated[case]
    assert finding in found(result, verdict)
    assert result["decision"].verdict == ("fail" if verdict == "fail" else "pass")
    rule = next(r for r in result["decision"].rules if (r.name, r.slice) == finding)
    assert cure in rule.sentence and rule.sentence.endswith(".")


def test_a_changed_type_stops(validated):
    assert "column fare" in {where for _, where in found(validated["type"], "fail")}


def test_schemas_that_cannot_be_read_are_refused_before_anything_is_written(validated):
    assert "DataError" in validated["no_schema"]["error"]
    assert "is not a TFDV schema in text form" in validated["not_a_schema"]["error"]
    assert "describes no column" in validated["blank_schema"]["error"]
    for name in ("no_schema", "not_a_schema", "blank_schema"):
        assert validated[name]["written"] == [] and "given.pbtxt" in validated[name]["error"]


def test_a_mark_of_a_review_holds_until_the_schema_is_edited(validated):
    assert not found(validated["reviewed"], "warn") and validated["reviewed"]["same_text"]
    assert "Ada reviewed it at" in validated["reviewed"]["page"]
    (rule,) = validated["edited"]["decision"].warnings
    assert (rule.name, "changed after Ada reviewed it" in rule.sentence) == (
        "schema.reviewed",
        True,
    )


def test_slices_are_further_datasets_of_the_very_rows_that_hold_a_value(validated):
    result, table = validated["sliced"], cases()["sliced"][0]
    counted = {f"company={v}": table["company"].to_pylist().count(v) for v in ("red", "green")}
    counted |= {f"seats={v}": table["seats"].to_pylist().count(v) for v in range(1, 6)}
    assert result["datasets"]["All Examples"] == ROWS
    assert {name: result["datasets"][name] for name in counted} == counted
    assert sum(name.startswith("person=") for name in result["datasets"]) == 10
    warned = {r.slice: r.sentence for r in result["decision"].warnings if r.name == "data.slices"}
    assert set(warned) == {"column fare", "column person"}
    assert "only its 10 most frequent values" in warned["column person"]
    assert "company=red" in result["page"]


def test_a_sample_is_said_plainly_and_does_not_pass_for_the_table(validated):
    result = validated["sampled"]
    assert result["rows"] == 1_000 and sum(list(result["datasets"].values())[1:]) == 1_000
    (rule,) = [rule for rule in result["decision"].warnings if rule.name == "data.sample"]
    assert "1,000 of 5,000 rows" in rule.sentence
    # The table has the 3,000 rows that the schema wants, though the sample has not.
    assert result["decision"].verdict == "pass"
    assert "a sample of 5,000" in result["page"]


def test_a_sample_is_spread_over_the_table_and_always_the_same(tmp_path):
    table = pa.table({"row": range(200_000)})
    write_table(table, tmp_path / "table")
    chunks = plan_chunks(tmp_path / "table", 1_001)
    rows = np.concatenate([batch.column(0) for _, batch in read_chunks(tmp_path / "table", chunks)])
    assert len(chunks) == 4 and len(rows) == len(set(rows)) == 1_001
    numbers = np.concatenate([chunk.row_numbers() for chunk in chunks])
    assert (numbers == rows + 1).all()
    assert abs(rows.mean() - 100_000) < 6_000
    again = plan_chunks(tmp_path / "table", 1_001)
    assert (np.concatenate([chunk.row_numbers() for chunk in again]) == numbers).all()
    assert [c.taken for c in plan_chunks(tmp_path / "table", 10**9)] == [c.rows for c in chunks]


def test_tensorflow_is_quiet(validated):
    assert validated["good"]["stderr"] == ""


def test_a_missing_dataset_is_refused(tmp_path):
    out = tmp_path / "out"
    outputs = Outputs(out / "s", out / "c", out / "d", out / "r")
    with pytest.raises(DataError, match="no table at"):
        validate(tmp_path / "nowhere", "label", outputs, Settings())
    assert not out.exists()


def test_casts_keep_values_and_only_tell_about_changes():
    table = odd_table()
    casts = {cast.name: cast for cast in plan_casts(table.schema)}
    assert not casts["fare"].note and not casts["wide_text"].note and not casts["coded"].note
    assert casts["nested"].target is None
    coded, _ = cast_column(table["coded"].chunk(0), casts["coded"])
    assert coded.to_pylist() == table["coded"].to_pylist()
    ratio, infinite = cast_column(table["ratio"].chunk(0), casts["ratio"])
    assert (ratio.null_count, infinite) == (100, 50)


def test_times_before_1970_and_every_unit_become_seconds():
    early = datetime.datetime(1960, 1, 1, 12)
    for unit in ("s", "ms", "us", "ns"):
        column = pa.array([early, None], pa.timestamp(unit))
        (cast,) = plan_casts(pa.schema([("t", column.type)]))
        seconds = cast_column(column, cast)[0].to_pylist()
        assert seconds == [(early - datetime.datetime(1970, 1, 1)).total_seconds(), None]


def test_texts_that_are_numbers_are_counted_across_batches():
    seen = TextNumbers()
    seen.add(pa.array(["1", "-2.5", " 3e4 ", None]), np.arange(1, 5))
    assert (seen.numbers, seen.others, seen.first_row) == (3, 0, 0)
    later = TextNumbers()
    later.add(pa.array([".5", "n/a", "7."]), np.arange(5, 8))
    seen.merge(later)
    assert (seen.numbers, seen.others) == (5, 1)
    assert (seen.first_row, seen.first_value) == (6, "n/a")
    words = TextNumbers()
    words.add(pa.array(["a", "b", "1"]), np.arange(3))
    assert words.given_up


def test_this_process_does_not_load_tfdv():
    assert "tensorflow_data_validation" not in sys.modules
