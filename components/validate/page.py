"""The statistics page: what was found, and one row for each column."""

import datetime

from markupsafe import Markup

from shipway.components.lib.cells import chip, isolated, number_text
from shipway.components.lib.charts import sparkline
from shipway.components.lib.decision import Decision
from shipway.components.lib.private import PRIVATE
from shipway.components.lib.reports import Report
from shipway.components.lib.schema_file import Review
from shipway.components.validate.facts import ColumnFacts
from shipway.components.validate.profile import Profile
from shipway.components.validate.slice_table import HEAD, NOTE, slice_rows

TIMES = ("time", "date")
COLUMNS = [
    "Column",
    "Type",
    "Shape",
    "Missing",
    "Missing %",
    "Distinct",
    "Minimum",
    "Median",
    "Maximum",
]
COLUMNS += ["Most frequent"]

REVIEW = (
    "Take the schema that this step wrote (or `shipway schema infer`), correct its ranges, "
    "categories and what may be missing, mark it with `shipway schema review`, store it, and give "
    "its address as schema_uri: from then on new data is held to it."
)
INFERRED = (
    "Nobody reviewed this schema: it was inferred from this very table, which fits it therefore. "
)
GIVEN = (
    "The schema was given. What it does not allow stops the run; a new column is reported and does "
    "not. anomaly_severity and allowed_anomalies change that, finding by finding."
)
MOST_TOLD = 8


def build_page(
    decision: Decision,
    facts: list[ColumnFacts],
    label: str,
    schema_uri: str,
    review: Review | None,
    profile: Profile,
) -> Report:
    """The page of a validated table: first what came out and what to do, then the rest.

    Args:
        decision: with all rules.
        facts: of every column.
        label: the column to predict; marked.
        schema_uri: where the schema came from; empty when it was inferred.
        review: the mark of its review, if it has one.
        profile: as measured.
    """
    stops, warns = len(decision.failures), len(decision.warnings)
    found = f"{stops} {'finding stops' if stops == 1 else 'findings stop'} the run"
    found = found if stops else "nothing stops the run"
    also = (
        f", {warns} {'finding is' if warns == 1 else 'findings are'} worth a look" if warns else ""
    )
    lead = f"{profile.rows:,} rows"
    lead += f", a sample of {profile.table_rows:,}," if profile.sampled else ""
    lead += f" and {len(facts):,} columns were measured: {found}{also}."
    report = Report("Data validation", lead, decision.verdict)
    report.add_text("What to do", _what_to_do(decision))
    report.add_decision(decision)
    _add_columns(report, decision, facts, label)
    if len(profile.statistics.datasets) > 1:
        report.add_table("Slices", HEAD, slice_rows(profile, facts), NOTE)
    report.add_text("How it was measured", profile.route)
    changed = [f"- {fact.name} ({fact.kind}): {fact.note}" for fact in facts if fact.note]
    if changed:
        more = f"\n\n... and {len(changed) - 40:,} more." if len(changed) > 40 else ""
        told = "TFDV measures numbers and texts; other columns were handed to it like this:"
        report.add_text("Changed before measuring", "\n".join([told, *changed[:40]]) + more)
    given = f"{GIVEN} It was read from {schema_uri}."
    if review is not None and review.valid:
        given += f" {review.by} reviewed it at {review.at}."
    report.add_text("Schema", given if schema_uri else INFERRED + REVIEW)
    return report


def _what_to_do(decision: Decision) -> str:
    """The findings that stop, each with its cure, or else those that are worth a look."""
    stops, warns = decision.failures, decision.warnings
    if stops:
        head = "The run stops here. Correct these, and run again:"
        listed = stops
    elif warns:
        head = "The run goes on. These are worth a look:"
        listed = warns
    else:
        return "Nothing: the table is fit to learn from."
    lines = [f"- {rule.sentence}" for rule in listed[:MOST_TOLD]]
    more = len(listed) - MOST_TOLD
    lines += [f"- ... and {more:,} more, in the table below."] if more > 0 else []
    return "\n".join([head, *lines])


def _add_columns(report: Report, decision: Decision, facts: list[ColumnFacts], label: str) -> None:
    noted = {rule.slice for rule in [*decision.failures, *decision.warnings]}
    order = sorted(facts, key=lambda f: (f.name != label, f"column {f.name}" not in noted))
    shown = order if len(facts) > 500 else facts
    table = [_row(fact, label) for fact in shown]
    keep = [i for i, _ in enumerate(COLUMNS) if any(row[i] not in (None, "", 0.0) for row in table)]
    note = "Shape: ten bins from minimum to maximum for numbers; the most frequent values for text."
    columns = [COLUMNS[i] for i in keep]
    report.add_table("Columns", columns, [[row[i] for i in keep] for row in table], note)


def _row(fact: ColumnFacts, label: str) -> list[object]:
    name = f"{fact.name} (label)" if fact.name == label else fact.name
    known = fact.present > 0
    # Each value stands for itself: text that runs right to left would move its count elsewhere.
    told = (f"{isolated(_short(value))} ({number_text(count)})" for value, count in fact.top)
    top: str | Markup = Markup(", ".join(told))
    if fact.kind == "text" and known and not top:
        top = "none is frequent"
    if fact.kind == "true/false" and fact.mean is not None:
        yes = round(fact.mean * fact.present)
        counts = {"true": yes, "false": fact.present - yes}
        ordered = sorted(counts.items(), key=lambda pair: -pair[1])
        top = ", ".join(f"{name} ({count:,})" for name, count in ordered)
    numbers = [_value(fact, number) for number in (fact.minimum, fact.median, fact.maximum)]
    if fact.kind == "true/false" or fact.private:
        numbers = [None, None, None]
    kind = "values from frequent to rare" if fact.top else "values from low to high"
    shape = sparkline(fact.shape, kind, 60) if known and fact.shape else Markup("")
    if fact.private:
        top, shape = chip(PRIVATE), Markup("")
    share = round(100 * fact.missing_share, 2)
    return [name, fact.kind, shape, fact.missing, share, fact.distinct, *numbers, top or None]


def _short(value: str) -> str:
    if not value.strip():
        return "(blank)"
    return value if len(value) <= 24 else value[:23] + "\u2026"


def _value(fact: ColumnFacts, number: float | None) -> float | str | None:
    """A bound of a column; times are shown as such."""
    if number is None or fact.kind not in TIMES:
        return number
    try:
        moment = datetime.datetime.fromtimestamp(number, tz=datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return number
    days = ((fact.maximum or 0) - (fact.minimum or 0)) / 86_400
    plain = fact.kind == "date" or days > 10
    return moment.date().isoformat() if plain else moment.strftime("%Y-%m-%d %H:%M:%S")
