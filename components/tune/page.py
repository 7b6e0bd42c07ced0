"""The page of a tuning: what the budget bought, how the search went, and what mattered."""

from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from shipway.components.lib import charts
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.metric_words import loss_words
from shipway.components.lib.reports import Report
from shipway.components.tune.choice import gain
from shipway.components.tune.search import loss_of, parameters_of
from shipway.components.tune.study import Study

# Trials, to say what mattered; of many more the saying would take minutes.
ENOUGH, MANY = 8, 200
ENDS = {TrialState.COMPLETE: "whole", TrialState.PRUNED: "given up", TrialState.FAIL: "failed"}
SCHEMES = {
    "validation split": "Trials are judged by the validation split.",
    "cross-validation": "The table is small enough for it: trials are judged by folds of training "
    "and validation rows together, and so is the number of rounds.",
    "time order": "Rows are ordered in time: each fold is judged by rows later than those it "
    "trained on, with the number of rounds that the fold before settled.",
}


def write_untuned_page(path: Path, parameters: Mapping[str, float]) -> None:
    """Write the page of a step that had no budget."""
    lead = "Nothing was searched, as no time was given: the parameters are passed on as they are."
    report = Report("Tuning", lead)
    rows = [[name, value] for name, value in sorted(parameters.items())]
    if rows:
        report.add_table("Parameters", ["Parameter", "Value"], rows)
    else:
        report.add_text("Parameters", "None is set: training takes the defaults.")
    text = "Give tuning_seconds, such as 300, to search for better ones within that time."
    report.add_text("To search", text)
    report.save(path)


def write_page(path: Path, plan: FeaturePlan, study: Study) -> None:
    """Write the page of a tuning."""
    report = Report(
        f"Tuning for '{plan.label}'",
        f"{study.verdict} {len(study.trials):,} trials in {study.seconds:.0f} of "
        f"{study.budget:.0f} s."
        + (" It was told to end before its budget was spent." if study.interrupted else ""),
    )
    _add_finalists(report, study)
    _add_history(report, study)
    _add_importances(report, study)
    report.add_table(
        "Parameters for training",
        ["Parameter", "Value"],
        [[name, value] for name, value in sorted(study.parameters.items())],
    )
    report.add_table(
        "What was searched",
        ["Parameter", "From", "To", "Scale"],
        [
            [name, one.low, one.high, "logarithmic" if one.log else "linear"]
            for name, one in study.space.ranges.items()
        ],
        f"{SCHEMES[study.folds.scheme]} Each trial trained on {study.sample:,} rows at a learning "
        f"rate of {study.space.eta:g}; finalists on all rows at {study.space.final_eta:g}. "
        f"{study.jobs} trial{'s' if study.jobs > 1 else ''} ran at a time.",
    )
    _add_trials(report, study)
    report.save(path)


def _add_finalists(report: Report, study: Study) -> None:
    if study.chosen is None:
        return
    rows, loss = [], loss_words(study.metric)
    for one in sorted(study.finalists, key=lambda one: one.result.loss):
        behind = gain(study.chosen.result, one.result)
        rows.append(
            [
                one.name + (" (taken)" if one is study.chosen else ""),
                study.loss(one.result.loss),
                behind.value,
                behind.error,
                one.result.rounds,
                one.result.leaves,
                round(one.result.seconds, 1),
            ]
        )
    squared = " Differences are of squared errors." if study.metric == "rmse" else ""
    report.add_table(
        "What the budget bought",
        ["Candidate", loss, "Loses more by", "Standard error", "Rounds", "Leaves", "Seconds"],
        rows,
        "Candidates trained on all rows. The defaults stand unless the best beats them by more "
        f"than {_errors(study)}, by the paired difference on the same rows; else, of those within "
        "one standard error of the best, the smallest is taken that beats them so, too (after "
        "Breiman et al., Classification and Regression Trees, 1984, section 3.4.3). Rows of one "
        "stretch of time or of one group count as one. The rows that chose a trial flatter it: the "
        "evaluation "
        f"on test rows is what counts.{squared}",
    )


def _errors(study: Study) -> str:
    return "two standard errors" if study.folds.in_time else "one standard error"


def _add_history(report: Report, study: Study) -> None:
    rows, best, words = [], float("inf"), loss_words(study.metric)
    for trial in study.trials:
        if (loss := loss_of(trial)) is not None:
            best = min(best, loss)
            for name, value in (("the trial", loss), ("the best so far", best)):
                rows.append({"trial": trial.number, words: study.loss(value), "loss of": name})
    pruned = sum(trial.state == TrialState.PRUNED for trial in study.trials)
    if rows:
        spec = charts.line(
            rows, "trial", words, "loss of", points=True, description="Loss by trial"
        )
        report.add_figure(
            "History",
            spec,
            f"{pruned:,} trials were given up early, being worse than the median of the others at "
            "the same round or fold; they are not drawn. Losses are of the sample.",
        )


def _add_importances(report: Report, study: Study) -> None:
    done = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if len(done) < ENOUGH or not study.space.ranges:
        return
    held = optuna.create_study()
    held.add_trials(done[:MANY])
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=study.settings.booster["seed"])
    found = optuna.importance.get_param_importances(held, evaluator=evaluator)
    share = "share of the variance of the loss"
    rows = [{"parameter": name, share: float(value)} for name, value in found.items()]
    if len({trial.value for trial in done}) > 1:
        report.add_figure(
            "What mattered",
            charts.bars(rows, "parameter", share, description="Importance by parameter"),
            f"Share of the variance of the loss over the first {min(len(done), MANY)} trials that "
            "a parameter explains (functional ANOVA, Hutter et al., 2014).",
        )


def _add_trials(report: Report, study: Study) -> None:
    names = list(study.space.ranges)

    def row(trial: FrozenTrial) -> list[object]:
        drawn = parameters_of(trial)
        loss = loss_of(trial)
        more = [trial.user_attrs.get(name) for name in ("rounds", "leaves", "seconds")]
        shown = None if loss is None else study.loss(loss)
        return [
            trial.number,
            ENDS.get(trial.state, trial.state.name.lower()),
            shown,
            *more,
            *(drawn[n] for n in names),
        ]

    columns = ["Trial", "End", loss_words(study.metric), "Rounds", "Leaves", "Seconds", *names]
    report.add_table("Trials", columns, [row(trial) for trial in study.trials])
