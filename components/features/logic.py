"""Fitting the feature plan, and the page that shows it."""

import logging
from dataclasses import replace
from pathlib import Path

from shipway.components.features.interactions import find_interactions
from shipway.components.features.overrides import read_overrides
from shipway.components.features.selection import check_selection, select
from shipway.components.lib.constraints import Constraints
from shipway.components.lib.encoders import ColumnPlan
from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.labels import resolve_target
from shipway.components.lib.private import PRIVATE, private_columns
from shipway.components.lib.queries import check_query
from shipway.components.lib.reports import Report
from shipway.components.lib.schema_file import Review, review_of, reviewed_kinds
from shipway.components.lib.stored_table import StoredTable

SHOWN = 8
WORDS = {
    "number": "number, as it is",
    "text_number": "text, read as a number",
    "boolean": "yes or no, as 1 or 0",
    "datetime": "parts of a date",
    "clock": "time of day, in minutes since midnight",
    "duration": "duration, in seconds",
    "coordinates": "degrees, kilometres from the rows' middle, two slanted axes",
    "text": "counts of words and pairs of words, hashed",
    "ordered": "rank of its step",
    "category": "code, ordered by the target's mean",
    "category_many": "target's smoothed mean, out of fold, and count",
}
NO_CONSTRAINTS = Constraints()
_log = logging.getLogger(__name__)


def fit(
    train: Path,
    label: str,
    plan_path: Path,
    report_path: Path,
    task: str = "auto",
    seed: int = 0,
    *,
    time_column: str = "",
    group_column: str = "",
    weight_column: str = "",
    schema: Path | None = None,
    features_uri: str = "",
    validation: Path | None = None,
    feature_selection: str = "none",
    constraints: Constraints = NO_CONSTRAINTS,
) -> FeaturePlan:
    """Fit a plan on a training Dataset; write it as JSON, and its page.

    Validation rows, where they are given, select columns and confirm features of two columns.

    Kinds of columns that a reviewed schema states overrule the guess; of a schema that nobody
    reviewed, or that was changed since, nothing is taken. The file of overrides overrules both.

    Raises:
        ConfigurationError: the task does not fit the label, or an override does not fit the table.
        DataError: the label, the time, group or weight column is not there, or no column is left.
    """
    table = StoredTable(train)
    used = {label: "the label", group_column: "the group", weight_column: "the weight"}
    for name in filter(None, (*used, time_column)):
        if name not in table.column_names:
            raise DataError(
                f"The training rows have no column '{name}'.{nearest(name, table.column_names)} "
                f"They have {', '.join(table.column_names[:20])}."
            )
    check_query(task, group_column)
    target = resolve_target(table.column(label), task)
    check_selection(feature_selection, target)
    text = schema.read_text(encoding="utf-8") if schema is not None else ""
    plan = fit_plan(
        table,
        label,
        target,
        time_column=time_column,
        group_column=group_column,
        weight_column=weight_column,
        seed=seed,
        reviewed=reviewed_kinds(text),
        asked=read_overrides(features_uri, table.column_names, used),
    )
    if validation is not None:
        held_out = StoredTable(validation)
        if feature_selection != "none":
            plan = select(plan, table, held_out)
        found = find_interactions(plan, table, held_out, constraints)
        plan = replace(plan, interactions=found)
    _write_page(report_path, plan, table, review_of(text))
    write_json_aside(plan_path, plan.to_json())
    _log.info(
        "fitted %s: %d features of %d columns, %d columns dropped",
        target.task, len(plan.feature_names), len(plan.columns), len(plan.dropped),
    )  # fmt: skip
    return plan


def _write_page(path: Path, plan: FeaturePlan, table: StoredTable, review: Review | None) -> None:
    hidden = private_columns(table.schema)
    classes = ", ".join(map(str, plan.target.classes[:SHOWN]))
    kind = f"{plan.target.task} ({classes})" if classes else plan.target.task
    report = Report(
        f"Features for '{plan.label}'",
        f"{len(plan.columns)} of {len(table.column_names) - 1} columns become "
        f"{len(plan.feature_names)} features; {len(plan.dropped)} dropped. "
        f"The task is {kind}. Fitted on {table.num_rows:,} training rows alone.",
    )
    report.add_table(
        "Columns that are used",
        ["Column", "What becomes of it", "Why", "Features", "Missing", "Seen in training"],
        [
            [
                column.name,
                WORDS[column.kind],
                column.reason,
                ", ".join(column.outputs[:SHOWN]) + (" ..." if len(column.outputs) > SHOWN else ""),
                f"{table.null_count(column.name) / table.num_rows:.1%}",
                PRIVATE if column.name in hidden else _seen(column),
            ]
            for column in plan.columns
        ],
        "Missing cells stay missing. A category that training did not see is scored as a rare one.",
    )
    if plan.interactions:
        report.add_table(
            "Features of two columns",
            ["Feature", "Columns", "Why"],
            [[one.name, " and ".join(one.columns), one.reason] for one in plan.interactions],
            "Training rows named the candidates; validation rows confirmed what stands here.",
        )
    if plan.dropped:
        report.add_table(
            "Columns that are dropped",
            ["Column", "Why"],
            [[column.name, column.reason] for column in plan.dropped],
        )
    if review is not None and review.valid:
        said = "What its annotations say of columns overrules what their values look like."
        report.add_text("Schema", f"{review.by} reviewed the schema at {review.at}. {said}")
    report.save(path)


def _seen(column: ColumnPlan) -> str:
    if column.minimum is not None and column.maximum is not None:
        return f"{column.minimum:,.6g} .. {column.maximum:,.6g}"
    names = column.categories or list(column.table)
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
