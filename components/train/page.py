"""The page of a training: how it learnt, what it learnt from, and how its scores were settled."""

from collections.abc import Mapping
from pathlib import Path

import xgboost as xgb

from shipway.components.lib import charts
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.metric_words import loss_words, said_of
from shipway.components.lib.metrics import METRIC_NAMES
from shipway.components.lib.parameters import Settings
from shipway.components.lib.reports import Report
from shipway.components.lib.signature import Signature
from shipway.components.train.queries import NO_CALIBRATION

TOP = 20


def write_page(
    path: Path,
    plan: FeaturePlan,
    settings: Settings,
    curves: Mapping[str, list[float]],
    booster: xgb.Booster,
    metrics: Mapping[str, float],
    signature: Signature,
    cpu_reason: str,
) -> None:
    """Write the page of a training."""
    rounds = booster.num_boosted_rounds()
    task = plan.target.task
    members = int(metrics.get("members", 0))
    unseen = members > 0 and "validation" not in curves
    chosen = ["rounds"] * (not unseen) + ["calibration"] * (not plan.target.kind.numeric)
    chosen += ["threshold"] * (signature.threshold is not None)
    chosen += ["the width of intervals"] * bool(settings.response.coverage)
    also = f", which also chose {_listed(chosen)}" if chosen else ""
    report = Report(
        f"Training of '{plan.label}'",
        f"A {task} model of {rounds:,} rounds on {metrics['training_rows']:,.0f} rows and "
        f"{len(plan.feature_names)} features, in {metrics['training_seconds']:.1f} s. The figures "
        f"below are of validation rows{also}: the evaluation on test rows is what counts."
        f"{_again(metrics)}",
    )
    known = [name for name in METRIC_NAMES[task] if name in metrics]
    report.add_table(
        "Validation metrics",
        ["Metric", "Value", "What it is"],
        [[name, metrics[name], said_of(name)] for name in known],
    )
    others = [
        [name.replace("_", " "), value] for name, value in metrics.items() if name not in known
    ]
    metric = loss_words(settings.booster["eval_metric"])
    rows = [
        {"round": index + 1, metric: value, "rows": name}
        for name, values in curves.items()
        for index, value in enumerate(values)
    ]
    report.add_figure(
        "Learning curves",
        charts.line(
            rows,
            "round",
            metric,
            "rows",
            mark_x=None if members else rounds,
            description="Loss by boosting round",
        ),
        _how(settings, rounds, members, unseen),
    )
    _add_importance(report, plan, booster)
    lines = [["calibration", _calibration(signature)]] * (not plan.target.kind.numeric)
    if plan.target.ranked:
        lines.append(["calibration and threshold", NO_CALIBRATION])
    if signature.threshold is not None:
        lines.append([f"threshold of '{plan.target.positive_class}'", f"{signature.threshold:.4f}"])
    if coverage := settings.response.coverage:
        widening = signature.response["widening"]
        lines.append([f"interval that holds {coverage:.0%}, widened by", f"{widening:,.6g}"])
    if cpu_reason:
        lines.append(["the CPU trained, and not the GPU that was asked for", cpu_reason])
    if lines:
        report.add_table("From scores to answers", ["What", "Chosen on validation rows"], lines)
    report.add_table("What it took", ["What", "Value"], others)
    report.add_table(
        "Parameters", ["Parameter", "Value"], [[n, v] for n, v in sorted(settings.booster.items())]
    )
    report.save(path)


def _calibration(signature: Signature) -> str:
    method, numbers = signature.calibrator["method"], signature.calibrator["parameters"]
    if method == "platt":
        return f"platt: {numbers[0]:.4g} times the log-odds, {numbers[1]:+.4g}"
    if method == "temperature":
        return f"temperature: {numbers[0]:.4g} times the margins"
    if method == "isotonic":
        return f"isotonic: a curve of {len(signature.calibrator['margins'])} points"
    return "none: it was not surely better than the probabilities as they are"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _again(metrics: Mapping[str, float]) -> str:
    if not metrics["refit_rows"]:
        return ""
    return (
        " The model was then trained for as many rounds on training and validation rows together, "
        f"{metrics['refit_rows']:,.0f}; figures and curves are from before."
    )


def _how(settings: Settings, rounds: int, members: int, unseen: bool) -> str:
    if not members:
        return (
            f"Training stopped when {settings.patience} rounds brought no better validation loss; "
            f"the model keeps the first {rounds:,}."
        )
    saw = "None saw the validation rows" if unseen else "Validation rows, the latest, stopped one"
    return (
        f"A bag of {members}: each member was stopped when {settings.patience} rounds brought no "
        "better loss on rows that it was not trained on. Merged they are one model of "
        f"{rounds:,} rounds, whose margin is the mean of theirs. {saw}."
    )


def _add_importance(report: Report, plan: FeaturePlan, booster: xgb.Booster) -> None:
    names = plan.feature_names
    gains = booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    ranked = sorted(gains.items(), key=lambda item: -item[1])[:TOP]
    rows = [
        {"feature": names[int(name[1:])], "share of gain": gain / total} for name, gain in ranked
    ]
    if rows:
        report.add_figure(
            "Importance",
            charts.bars(rows, "feature", "share of gain", description="Share of gain by feature"),
            "Share of all that the splits gained, by the feature that they split."
            + (f" The first {TOP} of {len(names)} features." if len(names) > TOP else ""),
        )
