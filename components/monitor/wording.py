"""What the page of drift says in words: what came out, what to do, and how it was judged."""

from shipway.components.lib.decision import Decision
from shipway.components.lib.drift.comparison import NOTICED, STOPPED, Comparison, Shift
from shipway.components.lib.drift.story import story_of
from shipway.components.monitor.rules import verdict_of

NAMED = 5


def lead_of(comparison: Comparison, decision: Decision, moved: list[Shift], rate: float) -> str:
    """One sentence: whether it moved, which columns, and how far."""
    sizes = f"{comparison.current.rows:,} rows against {comparison.base.rows:,} of the baseline"
    gone = [rule.slice for rule in decision.failures if rule.name == "missing_column"]
    lost = f" Missing: {_names(gone)}." if gone else ""
    if not comparison.current.rows:
        return f"Nothing can be told: {sizes}."
    total = len({shift.view.column for shift in comparison.shifts})
    if moved:
        return f"{_moved(moved, total, rate)}. {sizes}.{lost}"
    told = next((r for r in decision.rules if r.name == "multivariate_drift"), None)
    if told is not None and told.verdict != "pass":
        return f"No column moved by itself, but together they did. {told.sentence} {sizes}.{lost}"
    few = any(rule.name == "rows" for rule in decision.warnings)
    said = "No column surely moved, but the rows are too few to tell small shifts" if few else ""
    return f"{said or f'None of {total} columns moved'}: {sizes}.{lost}"


def _moved(moved: list[Shift], total: int, rate: float) -> str:
    failed = [shift for shift in moved if verdict_of(shift, rate) == "fail"]
    told = failed or moved
    most = ", ".join(f"{shift.name} ({shift.effect:.2f})" for shift in told[:NAMED])
    most += f" and {len(told) - NAMED} more" if told[NAMED:] else ""
    said = f"{_columns(told)} of {total} columns moved"
    if not failed:
        return f"{said} a little, within their bounds: {most}"
    little = _columns(moved) - _columns(failed)
    return f"{said} beyond their bounds: {most}" + (
        f"; {little} more moved a little" if little else ""
    )


def _columns(shifts: list[Shift]) -> int:
    return len({shift.view.column for shift in shifts})


def _names(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if names[NAMED:] else "")


def advice_on(comparison: Comparison, decision: Decision, moved: list[Shift], rate: float) -> str:
    """What to do next, the gravest first."""
    lines = [f"- {s.name}: {story_of(comparison, s)}." for s in moved[:NAMED]]
    others = ("missing_column", "multivariate_drift", "rows", "payload_log")
    grave = [*decision.failures, *decision.warnings]
    lines += [f"- {rule.sentence}" for rule in grave if rule.name in others][: 2 * NAMED]
    if not lines:
        return "Nothing. Compare the next span when it is there."
    cures = []
    if any(verdict_of(shift, rate) == "fail" for shift in moved):
        cures.append(
            "First find out whether the change is real or a fault of the data: a unit, a join, a "
            "source that went missing. Mend a fault where it arises. Of a real change, evaluate "
            "the model on newer labelled rows and train it anew with them."
        )
    natural = [s for s in moved if s.within is not None and s.within >= s.effect]
    if natural:
        cures.append(
            "Quarters of the baseline itself are as far apart in "
            f"{_names([s.name for s in natural])}: they go up and down by themselves. Give them a "
            "drift_thresholds above the figure 'within baseline', or take a longer baseline."
        )
    return "\n\n".join(["\n".join(lines), *cures])


def method_of(rate: float) -> str:
    """How columns are judged."""
    return (
        "Each column is cut into bins: quantiles of the baseline for numbers, the most frequent "
        "values for categories, with missing and other values apart. Chance is what dealing the "
        "rows of both tables anew shows, 1,000 to 21,000 times; so few rows raise no alarm by "
        "their noise. It takes rows for independent: where many come from one day or one customer, "
        "small shifts look surer than they are.\n\n"
        f"All tests of the run are held together by Holm's procedure: where nothing moved, at most "
        f"{rate:g} of the runs raise any alarm. A column fails from its bound ({STOPPED:g} unless "
        f"set: about a quarter of a standard deviation, or one value in twenty that goes missing), "
        f"and is reported from {NOTICED:g} (a tenth of a standard deviation).\n\n"
        "The test of all columns together trains boosted trees on one half of a sample to tell the "
        "two tables apart, and asks on the other half whether they can; columns that do so by "
        "themselves are left out of it."
    )
