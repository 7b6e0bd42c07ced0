"""From a comparison to a decision: one rule a column, one for all together, and what is missing."""

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.drift.comparison import MARGIN, NOTICED, Comparison, Shift
from shipway.components.lib.drift.domain import MIN_ROWS
from shipway.components.lib.drift.story import story_of

NOTICED_MARGIN = 0.02
CURE = (
    "Look at how the column is filled. If the change is real, train on newer rows; if it is known "
    "and harmless, give the column a drift_thresholds of its own or ignore it."
)


def decide(comparison: Comparison, rate: float, label: str, prediction: str) -> Decision:
    """Judge a comparison.

    Args:
        comparison: what was measured.
        rate: the share of runs that may raise an alarm where nothing moved.
        label: the column to predict; empty for none.
        prediction: the column with predictions; empty for none.
    """
    roles = {label: "label_drift", prediction: "prediction_drift"}
    rules = [_rows_rule(comparison)]
    for shift in comparison.shifts:
        name = "new_values" if shift.new_values else "column_drift"
        rules.append(_shift_rule(comparison, shift, roles.get(shift.view.column, name), rate))
    if comparison.current.rows:
        rules.append(_domain_rule(comparison, rate))
        rules += [_missing_rule(name, roles) for name in comparison.missing]
    rules += [_new_rule(name) for name in comparison.new]
    rules += [_later_rule(name) for name in comparison.later]
    for name, reason in comparison.base.skipped.items():
        rules.append(_pass("column_drift", name, f"'{name}' is not compared: {reason}."))
    return Decision("drift", "the current rows against the baseline", rules)


def _pass(name: str, column: str, sentence: str) -> Rule:
    return Rule(name, "pass", sentence, slice=column)


def _rows_rule(comparison: Comparison) -> Rule:
    """Whether there are rows enough to see what would matter."""
    rows = comparison.current.rows
    if not rows:
        sentence = (
            "The current table has no rows, so nothing can be told. Check that rows arrive, and "
            "that the right time span was read."
        )
        return Rule("rows", "fail", sentence, 0.0, ">= 1", n=0)
    both = f"{rows:,} rows against {comparison.base.rows:,} of the baseline"
    blind = [s for s in comparison.shifts if s.provable > s.bound]
    if not blind:
        return Rule("rows", "pass", f"{both}: enough to tell.", float(rows), n=rows)
    worst = max(shift.provable for shift in blind)
    sentence = (
        f"{both} are too few rows to tell for {len(blind)} of {len(comparison.shifts)} columns: "
        f"only a distance of {worst:.2f} is told from chance in each. Compare a longer span; that "
        "no alarm is raised does not mean that nothing moved."
    )
    return Rule("rows", "warn", sentence, float(rows), n=rows)


def _shift_rule(comparison: Comparison, shift: Shift, name: str, rate: float) -> Rule:
    verdict = verdict_of(shift, rate)
    measured = f"distance {shift.effect:.3f}, p {p_text(shift.adjusted)} in all tests together"
    if verdict == "pass":
        sure = shift.adjusted <= rate
        reason = "too little to matter" if sure else "no more than chance may bring"
        sentence = f"'{shift.name}' did not move: {reason} ({measured})."
    else:
        sentence = f"'{shift.name}' moved: {story_of(comparison, shift)} ({measured}). {CURE}"
    bound = f"< {shift.bound:g}"
    rows = comparison.current.rows
    return Rule(name, verdict, sentence, shift.effect, bound, shift.name, rows, shift.interval)


def verdict_of(shift: Shift, rate: float) -> str:
    """ "fail" for a column that surely moved as far as its bound, "warn" for less than that."""
    if shift.adjusted > rate or shift.effect < min(NOTICED, shift.bound):
        return "pass"
    return "fail" if shift.effect >= shift.bound else "warn"


def p_text(value: float) -> str:
    """A p-value as a person reads it."""
    return f"{value:.2g}" if value >= 1e-4 else "<0.0001"


def _domain_rule(comparison: Comparison, rate: float) -> Rule:
    domain = comparison.domain
    name, bound = "multivariate_drift", f"surely < {0.5 + MARGIN:g}"
    if domain is None:
        rows = min(comparison.base.rows, comparison.current.rows)
        sentence = (
            f"All columns together were not judged: too few rows to tell, {rows:,} where a model "
            f"needs {MIN_ROWS}, or no column to learn from."
        )
        return Rule(name, "pass", sentence, None, bound, n=rows)
    lower = domain.lower(rate)
    found = comparison.domain_adjusted <= rate
    verdict = "pass"
    if found and lower > 0.5 + NOTICED_MARGIN:
        verdict = "fail" if lower > 0.5 + MARGIN else "warn"
    told = f"area under the ROC curve {domain.area:.3f}, at least {max(0.0, lower):.3f}"
    if verdict == "pass":
        sentence = f"A model cannot tell the current rows from the baseline ({told})."
    else:
        names = ", ".join(f"'{one}'" for one in domain.named)
        sentence = (
            f"A model tells the current rows from the baseline ({told}), most of all by {names}. "
            "Where none of them moved by itself, look at how they go together."
        )
    interval = max(0.0, lower), min(1.0, 2 * domain.area - lower)
    return Rule(name, verdict, sentence, domain.area, bound, "", domain.rows, interval)


def _missing_rule(name: str, roles: dict[str, str]) -> Rule:
    if name in roles:
        known = _pass(roles[name], name, f"The current rows have no '{name}' yet.")
        return known
    sentence = (
        f"The current rows lack '{name}', which the baseline has. A model that reads it gets "
        "nothing: find out where it was lost, or ignore the column."
    )
    return Rule("missing_column", "fail", sentence, slice=name)


def _new_rule(name: str) -> Rule:
    sentence = (
        f"'{name}' is new: the baseline lacks it, so no model knows it. Train anew if it is of "
        "use, or ignore the column."
    )
    return Rule("new_column", "warn", sentence, slice=name)


def _later_rule(name: str) -> Rule:
    sentence = f"The dates of '{name}' go on after those of the baseline: not judged."
    return _pass("column_drift", name, sentence)
