"""The project's own rules about a table: what no schema that was inferred from it could find."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.decision import Rule
from shipway.components.lib.errors import DataError
from shipway.components.lib.labels import resolve_target
from shipway.components.validate.casting import UNMEASURED
from shipway.components.validate.facts import ColumnFacts, read_column
from shipway.components.validate.profile import Profile
from shipway.components.validate.semantics import IDENTIFIER_SHARE, is_identifier

MINIMUM_ROWS = 50
MINIMUM_CLASS_ROWS = 10
MISSING_SHARE = 0.9
NUMBER_SHARE = 0.9

Finding = tuple[str, float, str]


def data_rules(
    profile: Profile, facts: list[ColumnFacts], label: str, path: Path, task: str = "auto"
) -> list[Rule]:
    """All rules: rows, label, and what is odd about a column (warnings).

    Args:
        profile: as measured.
        facts: of every column.
        label: the column to predict; it is in the table.
        path: the Dataset, from which the label is read.
        task: that the label is for; "auto" tells it from the values.

    Raises:
        ConfigurationError: the task is unknown, or does not fit the label.
    """
    rules = [_row_rule(profile.table_rows)]
    rules += label_rules(path, label, task)
    for name, look, fine in _CHECKS:
        found = [
            Rule(name, "warn", sentence, value, bound, f"column {fact.name}", fact.rows)
            for fact in facts
            if fact.name != label
            for sentence, value, bound in look(fact, profile)
        ]
        rules += found or [Rule(name, "pass", fine)]
    return rules


def _row_rule(rows: int) -> Rule:
    enough = rows >= MINIMUM_ROWS
    sentence = f"The table has {rows:,} rows."
    if not enough:
        sentence = (
            f"The table has {rows:,} rows; at least {MINIMUM_ROWS} are needed to train and to "
            "test. Give more data, or check which rows were dropped on ingest."
        )
    verdict = "pass" if enough else "fail"
    return Rule("data.rows", verdict, sentence, float(rows), f">= {MINIMUM_ROWS}", n=rows)


def label_rules(path: Path, label: str, task: str = "auto") -> list[Rule]:
    """The label has a value in every row, can be learnt, and no class of it is too rare."""
    where, labels = f"column {label}", read_column(path, label)
    rows, gaps = len(labels), labels.null_count
    if pa.types.is_floating(labels.type):
        gaps += pc.sum(pc.is_nan(labels)).as_py() or 0
    missing = f"The label '{label}' is missing in {gaps:,} of {rows:,} rows"
    verdict = "fail" if gaps else "pass"
    cure = f"{missing}; drop those rows." if gaps else f"The label '{label}' has no gaps."
    rules = [Rule("label.missing", verdict, cure, float(gaps), "<= 0", where, rows)]
    try:
        target = resolve_target(labels, task)
    except DataError as error:
        return [*rules, Rule("label.learnable", "fail", str(error), slice=where)]
    known = f" with {len(target.classes)} classes" if target.classes else ""
    said = f"The label '{label}' is a {target.task} target{known}."
    rules.append(Rule("label.learnable", "pass", said, slice=where))
    if target.kind.numeric:
        return rules
    counted = pc.value_counts(pc.drop_null(labels)).to_pylist()
    rare = sorted((c["counts"], str(c["values"])) for c in counted)
    rare = [(count, name) for count, name in rare if count < MINIMUM_CLASS_ROWS]
    bound = f">= {MINIMUM_CLASS_ROWS}"
    rules += [
        Rule(
            "label.class_rows",
            "warn",
            f"Class '{name}' of the label '{label}' has {count:,} rows; with fewer than "
            f"{MINIMUM_CLASS_ROWS} it can hardly be learnt or tested. Give more, or merge classes.",
            float(count),
            bound,
            f"{label}={name}",
            count,
        )
        for count, name in rare
    ]
    if not rare:
        least = min(c["counts"] for c in counted)
        said = f"Every class of the label '{label}' has at least {least:,} rows."
        rules.append(Rule("label.class_rows", "pass", said, float(least), bound, where))
    return rules


def _empty(fact: ColumnFacts, profile: Profile) -> list[Finding]:
    if fact.present or not fact.rows or fact.note.startswith(UNMEASURED):
        return []
    return [
        (f"Column '{fact.name}' holds no value at all; nothing can be learnt from it.", 1.0, "")
    ]


def _mostly_missing(fact: ColumnFacts, profile: Profile) -> list[Finding]:
    share = fact.missing_share
    if not fact.present or share <= MISSING_SHARE:
        return []
    said = (
        f"Column '{fact.name}' is missing in {fact.missing:,} of {fact.rows:,} rows ({share:.2%}); "
        "check its source, or exclude it."
    )
    return [(said, share, f"<= {MISSING_SHARE}")]


def _constant(fact: ColumnFacts, profile: Profile) -> list[Finding]:
    same_ends = fact.minimum is not None and fact.minimum == fact.maximum
    constant = same_ends if fact.distinct is None else fact.distinct == 1
    if not constant or fact.present < 2 or fact.kind.startswith("list"):
        return []
    held = fact.top[0][0] if fact.top else f"{fact.minimum or 0.0:.12g}"
    held = "the same" if fact.private else f"'{held[:60]}'"
    gaps = " where it is not missing" if fact.missing else ""
    said = f"Column '{fact.name}' is always {held}{gaps}; it says nothing about the label."
    return [(said, 1.0, "> 1 value")]


def _identifier(fact: ColumnFacts, profile: Profile) -> list[Finding]:
    if not is_identifier(fact) or fact.name in profile.notes.text_numbers:
        return []
    distinct = fact.distinct or 0
    said = (
        f"Column '{fact.name}' has {distinct:,} different values in {fact.present:,} rows: it "
        "looks like an identifier, from which nothing general is learnt. Exclude it."
    )
    return [(said, min(1.0, distinct / fact.present), f"< {IDENTIFIER_SHARE[fact.kind]}")]


def _mixed(fact: ColumnFacts, profile: Profile) -> list[Finding]:
    seen = profile.notes.text_numbers.get(fact.name)
    if seen is None or not seen.others:
        return []
    total = seen.numbers + seen.others
    share = seen.numbers / total
    if share < NUMBER_SHARE:
        return []
    value = "" if fact.private else f", '{seen.first_value[:40]}'"
    said = (
        f"Column '{fact.name}' is text, and {seen.others:,} of {total:,} values are not numbers "
        f"(first: row {seen.first_row:,}{value}). They count as missing "
        "when it is used as a number; declare them in missing_values."
    )
    return [(said, share, "1")]


def _infinite(fact: ColumnFacts, profile: Profile) -> list[Finding]:
    count = profile.notes.infinities.get(fact.name, 0)
    if not count:
        return []
    said = (
        f"Column '{fact.name}' is infinite in {count:,} rows, mostly a division by zero; such "
        "values count as missing here. Correct them at the source."
    )
    return [(said, float(count), "0")]


def _unmeasured(fact: ColumnFacts, profile: Profile) -> list[Finding]:
    if not fact.note.startswith(UNMEASURED):
        return []
    said = (
        f"Column '{fact.name}': {fact.note}, so nothing about it is known. Flatten or exclude it."
    )
    return [(said, 0.0, "")]


def check_names() -> set[str]:
    """The names of the checks of columns."""
    return {name for name, _, _ in _CHECKS}


_CHECKS: list[tuple[str, Callable[[ColumnFacts, Profile], list[Finding]], str]] = [
    ("data.empty_column", _empty, "No column is empty."),
    ("data.mostly_missing", _mostly_missing, "No column is missing in more than 90% of the rows."),
    ("data.constant", _constant, "No column is constant."),
    ("data.identifier", _identifier, "No column looks like an identifier."),
    ("data.mixed_numbers", _mixed, "No column mixes numbers with a few words."),
    ("data.infinite", _infinite, "No value is infinite."),
    ("data.unmeasured", _unmeasured, "Every column was measured."),
]
