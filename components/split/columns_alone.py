"""Rules of what a column tells by itself, with another one, or by its order alone.

The bounds were chosen on public tables: honest columns of the five that are tested reach an AUC of
0.95 and an R2 of 0.88; tips, of which a taxi's label is made, 0.97 alone and 1.00 in proportion to
the fare.
"""

from shipway.components.lib.decision import Rule
from shipway.components.lib.errors import DataError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.fitting import fit_plan
from shipway.components.split.judge import Judge, Score
from shipway.components.split.scores import column_scores, identifier_scores, pair_scores
from shipway.components.split.subject import Subject, cure

STOP = {"auc": 0.98, "r2": 0.995}
WARN = {"auc": 0.95, "r2": 0.97}
MIN_ROWS = 30


def plan_of(subject: Subject) -> FeaturePlan | None:
    """The features of the sample; None where no column is usable, which fit_features will say."""
    try:
        return fit_plan(
            subject.training, subject.label, subject.target, group_column=subject.group_column
        )
    except DataError:
        return None


def score_rules(subject: Subject, judge: Judge, plan: FeaturePlan | None) -> list[Rule]:
    """Columns that predict the label better than an honest one does."""
    if judge.rows < MIN_ROWS:
        sentence = f"Only {judge.rows} rows: too few to tell whether a column gives the label away."
        return [Rule("single_column", "warn", sentence, n=judge.rows)]
    if plan is None:
        return []
    measure = "r2" if subject.target.kind.numeric else "auc"
    samples = subject.training, subject.held_out
    best = {score.column: score for score in column_scores(plan, judge, *samples)}
    enough = {name for name, score in best.items() if score.value >= STOP[measure]}
    for score in pair_scores(plan, judge, *samples, enough):
        alone = best.get(score.column)
        # Many pairs are tried, so that one counts only when it is proven.
        if score.proven >= STOP[measure] and not (alone and alone.value >= score.value):
            best[score.column] = score
    rules = [_score_rule(score, measure) for score in best.values()]
    identifiers = [
        _score_rule(score, measure, "warn") for score in identifier_scores(plan, judge, *samples)
    ]
    found = [rule for rule in [*rules, *identifiers] if rule is not None]
    if not any(rule.verdict == "fail" for rule in found):
        sentence = f"No column alone predicts the label with {measure} of {STOP[measure]:g}."
        found.append(Rule("single_column", "pass", sentence, bound=f"< {STOP[measure]:g}"))
    return found


def _score_rule(score: Score, measure: str, worst: str = "fail") -> Rule | None:
    """The rule that a score breaks, if any; what is not proven by enough rows is a warning."""
    if score.proven < WARN[measure] and score.value < STOP[measure]:
        return None
    verdict = worst if score.proven >= STOP[measure] else "warn"
    who = score.pair or f"'{score.column}' alone"
    sentence = (
        f"Column {who} predicts the label with {measure} {score.value:.4f} on {score.rows:,} rows "
        f"that it was not fitted on: more than an honest column does. {cure(score.column)}"
    )
    name = "column_pair" if score.pair else "single_column"
    return Rule(
        name, verdict, sentence, score.value, f"< {STOP[measure]:g}", score.column, score.rows
    )
