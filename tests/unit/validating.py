"""Tables to validate with their schemas, and the program that validates them where TFDV is."""

import datetime
import decimal

import numpy as np
import pyarrow as pa

from shipway.components.lib.schema_file import marked

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
