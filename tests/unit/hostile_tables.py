"""Broken and hostile tables, made by code, each with the finding that must come of it."""

# ruff: noqa: E501
# One table a line: they are read side by side.

import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 240
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Hostile:
    """A table and what must be found.

    Attributes:
        files: contents by name; a single one is the source, several are its directory.
        step: "ingest" or "validate": which of them finds it.
        expected: of ingest, a pattern of its message; of validate, "VERDICT RULE COLUMN", where the
            verdict is the rule's, or a pattern after "error".
        settings: of validate.
        said: a pattern of the rule's sentence.
    """

    files: Files
    step: str
    expected: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""


def columns() -> dict[str, list[Any]]:
    """A clean table, by column."""
    draw = np.random.default_rng(7)
    return {
        "fare": draw.normal(20, 4, ROWS).clip(1, 60).round(2).tolist(),
        "seats": draw.integers(1, 6, ROWS).tolist(),
        "colour": draw.choice(["red", "green", "blue"], ROWS).tolist(),
        "paid": draw.integers(0, 2, ROWS).tolist(),
        "label": draw.choice(["no", "yes"], ROWS).tolist(),
    }


SCHEMA = """
feature { name: "fare" type: FLOAT presence { min_fraction: 1 min_count: 1 }
          float_domain { min: 0 max: 100 } }
feature { name: "seats" type: INT presence { min_fraction: 0.9 } int_domain { min: 1 max: 8 } }
feature { name: "colour" type: BYTES presence { min_fraction: 1 } domain: "colours"
          distribution_constraints { min_domain_mass: 0.99 } }
feature { name: "paid" type: INT presence { min_fraction: 0.5 } bool_domain { } }
feature { name: "label" type: BYTES presence { min_fraction: 1 } domain: "labels"
          not_in_environment: "SERVING" }
string_domain { name: "colours" value: "red" value: "green" value: "blue" }
string_domain { name: "labels" value: "no" value: "yes" }
default_environment: "TRAINING" default_environment: "SERVING"
dataset_constraints { min_examples_count: 200 max_examples_count: 300 }
"""


def table(**changes: Any) -> dict[str, Any]:
    """The clean table with columns changed, added, or (None) left out."""
    merged = columns() | changes
    return {name: values for name, values in merged.items() if values is not None}


def csv(rows: int = ROWS, separator: str = ",", **changes: Any) -> Files:
    """As one CSV file."""
    made = table(**changes)
    lines = [separator.join(made)]
    for index in range(rows):
        cells = [values[index % len(values)] for values in made.values()]
        lines.append(separator.join("" if cell is None else str(cell) for cell in cells))
    return {"table.csv": ("\n".join(lines) + "\n").encode()}


def parquet(**changes: Any) -> Files:
    """As one Parquet file, in the types that are given."""
    return {"table.parquet": to_parquet(pa.table(table(**changes)))}


def to_parquet(made: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(made, sink)
    return sink.getvalue()


def text(body: str | bytes, name: str = "table.csv") -> Files:
    return {name: body if isinstance(body, bytes) else body.encode()}


def put(column: str, values: Mapping[int, Any]) -> dict[str, list[Any]]:
    """A column of the clean table with some cells replaced, by row from 0."""
    cells = columns()[column]
    for row, value in values.items():
        cells[row] = value
    return {column: cells}


def repeated(*values: Any) -> list[Any]:
    return [values[index % len(values)] for index in range(ROWS)]


GOOD = csv()["table.csv"]
HELD: dict[str, Any] = {"schema": SCHEMA}
DRAW = np.random.default_rng(3)


def broken_files() -> dict[str, Hostile]:
    """Files that cannot be read as a table: ingest refuses them."""

    def refused(files: Files, message: str) -> Hostile:
        return Hostile(files, "ingest", message)

    head, _, rest = GOOD.partition(b"\n")
    whole = parquet()["table.parquet"]
    lines = [
        json.dumps(dict(zip(table(), row, strict=True)))
        for row in zip(*table().values(), strict=True)
    ]
    return {
        "an empty file": refused(text(""), "empty"),
        "blank lines only": refused(text("\n\n  \n"), "empty|header"),
        "a header and no rows": refused(text(head + b"\n"), "no rows|only a header"),
        "no such file": refused({}, "nothing at"),
        "a label that is spelled otherwise": refused(text(b"fare,Label\n1,2\n"), "Did you mean 'Label'"),
        "the label is the only column": refused(text("label\nyes\nno\n"), "no column beside the label"),
        "a label of one value": refused(csv(label=repeated("yes")), "only 'yes'"),
        "a label without values": refused(csv(label=repeated("")), "no value"),
        "a row with a field too many": refused(text(GOOD + b"1,2,red,0,yes,more\n"), "6 fields"),
        "a row with a field too few": refused(text(GOOD + b"1,2,red\n"), "3 fields"),
        "bytes of Latin-1": refused(text(GOOD + "1,2,caf\u00e9,0,yes\n".encode("latin-1")), "UTF-8"),
        "UTF-16": refused(text(GOOD.decode().encode("utf-16")), "UTF"),
        "two columns of one name": refused(text(GOOD.replace(b"seats", b"fare", 1)), "'fare'"),
        "a quote that is never closed": refused(text(GOOD + b'1,2,"red,0,yes\n' + rest), "quote|fields"),
        "a picture under the name of a table": refused(text(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9), "."),
        "an error page instead of data": refused(text("<!doctype html><html>404</html>\n<p>\n"), "'label'"),
        "a pointer of Git LFS": refused(text("version https://git-lfs.github.com/spec/v1\noid x\n"), "'label'"),
        "gzip that breaks off": refused(text(gzip.compress(GOOD)[:-200], "table.csv.gz"), "table.csv.gz"),
        "Parquet that breaks off": refused(text(whole[: len(whole) // 2], "table.parquet"), "table.parquet"),
        "CSV under the name of Parquet": refused(text(GOOD, "table.parquet"), "table.parquet"),
        "Parquet without rows": refused(text(to_parquet(pa.table(table()).slice(0, 0)), "t.parquet"), "no rows"),
        "JSON that breaks off in a line": refused(text("\n".join([*lines, '{"fare": 1,']), "t.jsonl"), "."),
        "one JSON array instead of lines": refused(text("[\n" + ",\n".join(lines) + "]\n", "t.jsonl"), "."),
        "nested records": refused(parquet(extra=pa.array([{"a": 1}] * ROWS)), "'extra'.*nested"),
        "a map in each row": refused(parquet(extra=pa.array([[("k", 1)]] * ROWS, pa.map_(pa.string(), pa.int64()))), "'extra'.*nested"),
        "a column of bytes": refused(parquet(extra=pa.array([b"\xff\x00", b"a"] * (ROWS // 2))), "'extra'.*bytes"),
        "parts with other columns": refused({"a.csv": GOOD, "b.csv": GOOD.replace(b"seats", b"places", 1)}, "places|seats"),
    }  # fmt: skip


def poor_tables() -> dict[str, Hostile]:
    """Tables that can be read and have something the matter: validate's own rules say so."""

    def found(
        files: Files, rule: str, column: str = "", said: str = "", verdict: str = "warn"
    ) -> Hostile:
        return Hostile(files, "validate", f"{verdict} {rule} {column}", said=said)

    def fine(files: Files) -> Hostile:
        return Hostile(files, "validate", "pass")

    times = pa.array(repeated(-(2**62), 2**62), pa.timestamp("ns"))
    return {
        "too few rows": found(csv(rows=30), "data.rows", verdict="fail", said="30 rows"),
        "a class of three rows": found(csv(**put("label", {1: "x", 2: "x", 3: "x"})), "label.class_rows", said="'x'"),
        "a label of text that never repeats": found(csv(label=[f"r{i}" for i in range(ROWS)]), "label.learnable", "label", verdict="fail"),
        "a column of one value": found(csv(extra=repeated("same")), "data.constant", "extra", "'same'"),
        "a column of one number and gaps": found(csv(extra=repeated(7, None)), "data.constant", "extra"),
        "a column of nothing": found(csv(extra=repeated("")), "data.empty_column", "extra"),
        "a column of markers of the missing": found(csv(extra=repeated("NA", "null", "nan")), "data.empty_column", "extra"),
        "a column that is mostly missing": found(csv(extra=[None] * 230 + list(range(10))), "data.mostly_missing", "extra", "95.83%"),
        "keys of text": found(csv(extra=[f"k{i * 7919}" for i in range(ROWS)]), "data.identifier", "extra"),
        "row numbers": found(csv(extra=list(range(ROWS))), "data.identifier", "extra"),
        "numbers with a few words": found(csv(extra=[*map(str, range(1, ROWS)), "unknown"]), "data.mixed_numbers", "extra", r"row 240, 'unknown'"),
        "numbers with a currency sign in some rows": found(csv(extra=[*map(str, range(1, ROWS)), "$5"]), "data.mixed_numbers", "extra"),
        "decimals of 38 digits": fine(parquet(extra=pa.array(range(ROWS), pa.decimal128(38, 5)))),
        "whole numbers beyond 64 bits": fine(csv(extra=[10**25 + i for i in range(ROWS)])),
        "times at the ends of the calendar": fine(parquet(extra=times)),
        "infinite numbers": fine(csv(extra=repeated("inf", "1.5", "2.5", "3.5"))),
        "names that are HTML, endless and right to left": fine(csv(**{"<script>alert(1)</script>": repeated(1, 2, 3), "x" * 4000: repeated(3, 4), "\u05e9\u05dd \u202e": repeated(1, 5)})),
        "cells that are formulas": fine(csv(extra=repeated("=cmd|' /C calc'!A0", "@SUM(1)", "+1-1"))),
        "cells of emoji and marks": fine(csv(extra=repeated("\U0001f9ff\u200d", "e\u0301", "\ufeffa", "b"))),
        "a cell of a megabyte": fine(csv(**put("colour", {0: "z" * 1_000_000}))),
        "a mark of the byte order": fine(text(b"\xef\xbb\xbf" + GOOD)),
        "semicolons and line ends of Windows": fine(text(csv(separator=";")["table.csv"].replace(b"\n", b"\r\n"))),
        "rows that all repeat": fine(csv(fare=repeated(1.5, 2.5), seats=repeated(1, 2), colour=repeated("a", "b"), label=repeated("no", "yes"))),
        "many columns of noise": fine(csv(**{f"c{i}": [int(v) for v in DRAW.integers(0, 9, ROWS)] for i in range(40)})),
    }  # fmt: skip


def unfitting_tables() -> dict[str, Hostile]:
    """Tables that a reviewed schema does not allow."""

    def held(
        changes: Mapping[str, Any],
        rule: str,
        column: str = "",
        said: str = "",
        verdict: str = "fail",
        rows: int = ROWS,
    ) -> Hostile:
        return Hostile(
            csv(rows, **changes), "validate", f"{verdict} schema.{rule} {column}", HELD, said
        )

    def gone(column: str, *rows: int) -> dict[str, list[Any]]:
        return put(column, dict.fromkeys(rows))

    strings, twenty = "enum_type_unexpected_string_values", range(20, 40)
    return {
        "the table that the schema was made for": Hostile(csv(), "validate", "pass", HELD),
        "a category that is new in many rows": held(put("colour", dict.fromkeys(twenty, "pink")), strings, "colour", r"20 of 240 rows \(first rows 21, 22, 23, \.\.\., holding 'pink'\)"),
        "a category that is new in two rows of 240": Hostile(csv(**put("colour", {9: "pink", 10: "lime"})), "validate", "pass", HELD),
        "a category in capitals": held(put("colour", dict.fromkeys(twenty, "RED")), strings, "colour", "'RED'"),
        "a category in broken characters": held(put("colour", dict.fromkeys(twenty, "r\u00c3\u00a9d")), strings, "colour"),
        "a class that is new in one row": held(put("label", {100: "perhaps"}), strings, "label", r"1 of 240 rows \(row 101, holding 'perhaps'\)"),
        "a column that is gone": held({"seats": None}, "schema_missing_column", "seats", "Bring the column back"),
        "a column that is new": held({"tips": repeated(1.5, 2.5)}, "schema_new_column", "tips", verdict="warn"),
        "two columns whose values are exchanged": held({"colour": columns()["label"], "label": columns()["colour"]}, strings, "colour"),
        "a number that became text": held(put("fare", {3: "twelve"}), "unexpected_data_type", "fare", r"row 4, holding 'twelve'"),
        "text that became a number": held({"colour": repeated(1, 2, 3)}, "unexpected_data_type", "colour"),
        "whole numbers that became fractions": held(put("seats", {5: 1.5}), "unexpected_data_type", "seats", r"row 6, holding '1\.5'"),
        "a value above the range": held(put("fare", {7: 100.5}), "float_type_big_float", "fare", r"row 8, holding '100\.5'"),
        "a value below the range": held(put("fare", {7: -0.5}), "float_type_small_float", "fare", r"row 8, holding '-0\.5'"),
        "another unit": held({"fare": [v * 100 for v in columns()["fare"]]}, "float_type_big_float", "fare", "240 of 240"),
        "a marker of the missing among numbers": held(put("seats", dict.fromkeys(twenty, -999)), "int_type_small_int", "seats", r"20 of 240 rows .*'-999'"),
        "a count above the range": held(put("seats", {0: 9}), "int_type_big_int", "seats", r"\(row 1, holding '9'\)"),
        "a third value among yes and no": held(put("paid", {11: 2}), "bool_type_big_int", "paid", "row 12"),
        "a gap in a column that has none": held(gone("fare", 0, 1), "feature_type_low_fraction_present", "fare", r"2 of 240 rows \(first rows 1, 2\)"),
        "more gaps than are allowed": held(gone("seats", *range(60)), "feature_type_low_fraction_present", "seats", "60 of 240"),
        "a required column of nothing": held({"colour": repeated("")}, "feature_type_not_present", "colour", "240 of 240"),
        "half of the rows": held({}, "dataset_low_num_examples", said="120 rows", rows=120),
        "the rows twice": held({}, "dataset_high_num_examples", said="480 rows", rows=480),
    }  # fmt: skip


def judged_tables() -> dict[str, Hostile]:
    """Settings that change what a finding means, or cannot be used."""

    def judged(
        expected: str, said: str = "", changes: Mapping[str, Any] | None = None, **settings: Any
    ) -> Hostile:
        return Hostile(csv(**(changes or {})), "validate", expected, settings, said)

    pink = put("colour", dict.fromkeys(range(20), "pink"))
    strings = "enum_type_unexpected_string_values"
    same = {"extra": repeated("same")}
    unique = SCHEMA.replace('name: "seats"', 'name: "seats" unique_constraints { min: 3 }')
    infinity = SCHEMA.replace(
        'name: "fare"', 'name: "fare" skew_comparator { infinity_norm { threshold: 0.1 } }'
    )
    few = SCHEMA.replace('name: "colour"', 'name: "colour" unique_constraints { min: 1 max: 2 }')
    return {
        "allowed by column and kind": judged(f"pass schema.{strings} colour", "Allowed by allowed_anomalies", pink, schema=SCHEMA, allowed_anomalies=[f"colour:{strings}"]),
        "allowed by column": judged(f"pass schema.{strings} colour", "Allowed", pink, schema=SCHEMA, allowed_anomalies=["colour:*"]),
        "allowed for another column": judged(f"fail schema.{strings} colour", "", pink, schema=SCHEMA, allowed_anomalies=["fare:*"]),
        "a kind that only warns": judged(f"warn schema.{strings} colour", "Set to 'warn'", pink, schema=SCHEMA, anomaly_severity={f"schema.{strings}": "warn"}),
        "a kind that is ignored": judged(f"pass schema.{strings} colour", "Set to 'ignore'", pink, schema=SCHEMA, anomaly_severity={strings.upper(): "ignore"}),
        "a new column that stops": judged("fail schema.schema_new_column tips", "Set to 'stop'", {"tips": repeated(1, 2)}, schema=SCHEMA, anomaly_severity={"schema_new_column": "stop"}),
        "a check of the step's own that stops": judged("fail data.constant extra", "Set to 'stop'", same, anomaly_severity={"data.constant": "stop"}),
        "a schema that nobody reviewed stops": judged("fail schema.reviewed ", "", anomaly_severity={"reviewed": "stop"}),
        "the label's rules cannot be allowed away": judged("fail label.missing label", "", None, allowed_anomalies=["label:*"], gaps=True),
        "too many different values": judged("fail schema.feature_type_high_unique colour", "", None, schema=few),
        "a severity that there is not": judged("error it is one of stop, warn, ignore", anomaly_severity={"schema_new_column": "halt"}),
        "a kind that there is not": judged("error Did you mean 'schema_new_column'", anomaly_severity={"schema_new_colum": "warn"}),
        "a rule that always holds": judged("error always hold", anomaly_severity={"label.missing": "ignore"}),
        "a column that there is not": judged("error Did you mean 'colour'", allowed_anomalies=["color:*"]),
        "a slice by a column that there is not": judged("error Did you mean 'colour'", slice_columns=["color"]),
        "a sample of less than nothing": judged("error sample_rows=-1", sample_rows=-1),
        "Beam without a runner": judged("error name no runner", beam_pipeline_args=["--region=x"]),
        "a runner that downloads a program": judged("error downloads a program", beam_pipeline_args=["--runner=PrismRunner"]),
        "L-infinity on a number": judged("error 'fare' is a number, and its skew_comparator has infinity_norm", schema=infinity),
        "a bound on different values without a maximum": judged("error 'seats' has unique_constraints from 3 to 0", schema=unique),
    }  # fmt: skip


FAMILIES: tuple[Callable[[], dict[str, Hostile]], ...] = (
    broken_files,
    poor_tables,
    unfitting_tables,
    judged_tables,
)


def hostile_tables() -> dict[str, Hostile]:
    """All of them by name."""
    return {name: one for family in FAMILIES for name, one in family().items()}
