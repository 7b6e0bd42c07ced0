"""The validate step: TFDV runs for real, in the data image's environment, one process for all."""

import datetime
import json
import sys

import pytest

from shipway.components.lib.decision import Decision
from shipway.components.lib.tables import write_table
from tests.unit.validating import DRIVER, ROWS, cases, good_table, odd_table, settings


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


def test_tensorflow_is_quiet(validated):
    assert validated["good"]["stderr"] == ""


def test_this_process_does_not_load_tfdv():
    assert "tensorflow_data_validation" not in sys.modules
