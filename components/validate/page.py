"""The statistics page: what was found, and one row for each column."""

import datetime

from markupsafe import Markup

from shipway.components.lib.cells import number_text
from shipway.components.lib.charts import sparkline
from shipway.components.lib.decision import Decision
from shipway.components.lib.reports import Report
from shipway.components.validate.facts import ColumnFacts

TIMES = ("time", "date")
COLUMNS = ["Column", "Type", "Shape", "Missing", "%", "Distinct", "Minimum", "Median", "Maximum"]
COLUMNS += ["Most frequent"]

INFERRED = (
    "Nobody reviewed this schema: it was inferred from this very table, which fits it therefore. "
    "Take the schema that this step wrote, correct its ranges, categories and what may be missing, "
    "store it, and give its address as schema_uri: from then on new data is held to it."
)
GIVEN = (
    "The schema was given. A column or value that it does not allow stops the run; a new column is "
    "reported and does not."
)


def build_page(decision: Decision, facts: list[ColumnFacts], label: str, schema_uri: str) -> Report:
    """The page of a validated table.

    Args:
        decision: with all rules.
        facts: of every column.
        label: the column to predict; marked.
        schema_uri: where the schema came from; empty when it was inferred.
    """
    rows = facts[0].rows if facts else 0
    stops, warns = len(decision.failures), len(decision.warnings)
    found = f"{stops} {'finding stops' if stops == 1 else 'findings stop'} the run"
    found = found if stops else "nothing stops the run"
    also = f", {warns} {'is' if warns == 1 else 'are'} worth a look" if warns else ""
    lead = f"{rows:,} rows and {len(facts):,} columns were measured: {found}{also}."
    report = Report("Data validation", lead, decision.verdict)
    report.add_decision(decision)
    noted = {rule.slice for rule in [*decision.failures, *decision.warnings]}
    order = sorted(facts, key=lambda f: (f.name != label, f"column {f.name}" not in noted))
    shown = order if len(facts) > 500 else facts
    table = [_row(fact, label) for fact in shown]
    keep = [i for i, _ in enumerate(COLUMNS) if any(row[i] not in (None, "", 0.0) for row in table)]
    note = "Shape: ten bins from minimum to maximum for numbers; the most frequent values for text."
    columns = [COLUMNS[i] for i in keep]
    report.add_table("Columns", columns, [[row[i] for i in keep] for row in table], note)
    changed = [f"- {fact.name} ({fact.kind}): {fact.note}" for fact in facts if fact.note]
    if changed:
        more = f"\n\n... and {len(changed) - 40:,} more." if len(changed) > 40 else ""
        told = "TFDV measures numbers and texts; other columns were handed to it like this:"
        report.add_text("Changed before measuring", "\n".join([told, *changed[:40]]) + more)
    report.add_text("Schema", f"{GIVEN} It was read from {schema_uri}." if schema_uri else INFERRED)
    return report


def _row(fact: ColumnFacts, label: str) -> list[object]:
    name = f"{fact.name} (label)" if fact.name == label else fact.name
    known = fact.present > 0
    top = ", ".join(f"{_short(value)} ({number_text(count)})" for value, count in fact.top)
    if fact.kind == "text" and known and not top:
        top = "none is frequent"
    if fact.kind == "true/false" and fact.mean is not None:
        yes = round(fact.mean * fact.present)
        top = f"true ({yes:,}), false ({fact.present - yes:,})"
    numbers = [_value(fact, number) for number in (fact.minimum, fact.median, fact.maximum)]
    if fact.kind == "true/false":
        numbers = [None, None, None]
    kind = "values from frequent to rare" if fact.top else "values from low to high"
    shape = sparkline(fact.shape, kind, 60) if known and fact.shape else Markup("")
    share = round(100 * fact.missing_share, 2) or None
    return [name, fact.kind, shape, fact.missing, share, fact.distinct, *numbers, top]


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
