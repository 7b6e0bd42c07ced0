"""TFDV's anomalies as rules of a decision, with what the table shows of each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from shipway.components.lib.decision import Rule
from shipway.components.lib.private import private_columns
from shipway.components.lib.tables import read_schema
from shipway.components.validate.evidence import Evidence, gather
from shipway.components.validate.policy import COLUMN, plain
from shipway.components.validate.schema import TRAINING
from shipway.components.validate.statistics import import_tfdv

WARNINGS = {"SCHEMA_NEW_COLUMN"}

CURES = {
    "SCHEMA_NEW_COLUMN": "Exclude the column, or add it to the schema after a review.",
    "SCHEMA_MISSING_COLUMN": "Bring the column back, or take it out of the schema.",
    "UNEXPECTED_STRING": "Correct the values, or add them to the column's domain in the schema.",
    "_BIG_": "Correct the values, or raise the maximum in the schema.",
    "_SMALL_": "Correct the values, or lower the minimum in the schema.",
    "PRESENT": "Find out why values are missing, or lower min_fraction in the schema.",
    "NO_VALUES": "Find out why values are missing, or lower min_fraction in the schema.",
    "NUM_EXAMPLES": "Check that the whole table has arrived, or change the schema's limit.",
    "UNIQUE": "Check how the column was made, or change unique_constraints in the schema.",
    "_NOT_": "Restore the column's type, or change it in the schema.",
    "DATA_TYPE": "Restore the column's type, or change it in the schema.",
}


# What TFDV says of these is hard to read, or lists values that stand in the evidence.
WORDS = {
    "UNEXPECTED_STRING": "holds values that its domain in the schema does not have",
    "_BIG_": "holds values above the schema's maximum",
    "_SMALL_": "holds values below the schema's minimum",
    "SCHEMA_NEW_COLUMN": "is in the table and not in the schema",
    "SCHEMA_MISSING_COLUMN": "is in the schema and not in the table",
    "NOT_PRESENT": "holds no value",
    "LOW_FRACTION_PRESENT": "is missing in more rows than the schema allows",
}


def anomaly_kinds() -> set[str]:
    """The kinds of anomalies that TFDV knows, as rules name them."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    return {plain(name) for name, _ in anomalies_pb2.AnomalyInfo.Type.items()}


def schema_rules(statistics: Any, schema: Any, path: Path, table_rows: int) -> list[Rule]:
    """What a table holds that a given schema does not allow, one rule a reason.

    Args:
        statistics: TFDV's, of the whole table first.
        schema: the TFDV Schema.
        path: the Dataset, in which the anomalies are looked up.
        table_rows: rows of it, however many were measured.
    """
    tfdv = import_tfdv()
    environment = TRAINING if TRAINING in schema.default_environment else None
    held = type(schema)()
    held.CopyFrom(schema)
    # A limit on the number of rows is meant for the table and not for the sample that was measured.
    held.dataset_constraints.ClearField("min_examples_count")
    held.dataset_constraints.ClearField("max_examples_count")
    anomalies = tfdv.validate_statistics(statistics, held, environment=environment)
    infos = [
        (".".join(info.path.step) or name, info)
        for name, info in sorted(anomalies.anomaly_info.items())
    ]
    # Limits on the table as a whole stand apart, and are easily missed.
    if anomalies.HasField("dataset_anomaly_info"):
        infos.append(("", anomalies.dataset_anomaly_info))
    reasons = [(column, info, one) for column, info in infos for one in info.reason or [info]]
    kinds = [(column, _kind(info, one)) for column, info, one in reasons]
    shown = gather(path, schema, kinds)
    hidden = private_columns(read_schema(path))
    rules = [
        _rule(column, kind, info, one, evidence, column in hidden)
        for (column, info, one), (_, kind), evidence in zip(reasons, kinds, shown, strict=True)
    ]
    return rules + _size_rules(schema, table_rows)


def _rule(column: str, kind: str, info: Any, reason: Any, evidence: Evidence, hidden: bool) -> Rule:
    mild = info.severity == type(info).WARNING or kind in WARNINGS
    cure = next((cure for part, cure in CURES.items() if part in kind), "")
    cure = cure or "Correct the data, or change the schema after a review."
    # TFDV's longer text quotes values.
    subject = f"Column '{column}'" if column else "The table"
    plain_words = next((words for part, words in WORDS.items() if part in kind), "")
    told = reason.short_description if hidden else reason.description or reason.short_description
    said = f" {plain_words}" if plain_words else f": {told.strip().rstrip('.')}"
    shown = f": {evidence.sentence}" if evidence.count else ""
    return Rule(
        name=f"schema.{kind.lower()}",
        verdict="warn" if mild else "fail",
        sentence=f"{subject}{said}{shown}. {cure}",
        value=float(evidence.count) if evidence.count else None,
        bound="0" if evidence.count else "",
        slice=f"{COLUMN}{column}" if column else "",
        n=evidence.rows or None,
    )


def _size_rules(schema: Any, rows: int) -> list[Rule]:
    limits, rules = schema.dataset_constraints, []
    checks: tuple[tuple[str, str, str, Callable[[int], bool]], ...]
    checks = (
        ("low", "min_examples_count", ">=", lambda limit: rows < limit),
        ("high", "max_examples_count", "<=", lambda limit: rows > limit),
    )
    for word, name, sign, broken in checks:
        limit = getattr(limits, name)
        if limits.HasField(name) and broken(limit):
            said = (
                f"The table has {rows:,} rows, where the schema's {name} is {limit:,}. "
                f"{CURES['NUM_EXAMPLES']}"
            )
            kind, bound = f"schema.dataset_{word}_num_examples", f"{sign} {limit}"
            rules.append(Rule(kind, "fail", said, float(rows), bound, n=rows))
    return rules


def _kind(info: Any, reason: Any) -> str:
    has_type = "type" in reason.DESCRIPTOR.fields_by_name
    return str(type(info).Type.Name(reason.type)) if has_type else "anomaly"
