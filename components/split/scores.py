"""What one column, or two of them together, tell of the label."""

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa

from shipway.components.lib.columns import numbers
from shipway.components.lib.features import FeaturePlan
from shipway.components.split.judge import Judge, Score

FEW_ROWS = 2_000
MAX_NUMBERS = 20
MAX_TREES = 12
HINT = 0.95
WORDS = (
    "'{0}' divided by '{1}'",
    "'{1}' divided by '{0}'",
    "'{0}' less '{1}'",
    "'{0}' plus '{1}'",
    "'{0}' times '{1}'",
)


def column_scores(
    plan: FeaturePlan, judge: Judge, training: pa.Table, held_out: pa.Table
) -> list[Score]:
    """The score of each raw column that tells much of the label, the best first."""
    known, asked = plan.transform_training(training), plan.transform(held_out)
    scores, start = [], 0
    for column in plan.columns:
        mine = slice(start, start + len(column.outputs))
        start = mine.stop
        if judge.is_suspicious(known[:, mine]):
            scores.append(judge.score(known[:, mine], asked[:, mine], column.name))
    return sorted(scores, key=lambda score: -score.value)


def pair_scores(
    plan: FeaturePlan, judge: Judge, training: pa.Table, held_out: pa.Table, but: Collection[str]
) -> list[Score]:
    """Pairs of numbers that tell far more than each alone: labels are made of such, by a threshold.

    Args:
        plan: of the columns.
        judge: of both samples.
        training: the rows that scores are fitted on.
        held_out: the rows that are predicted.
        but: columns that tell enough alone.

    Returns:
        The best pair of each column that has one, under the name of its stronger column.
    """
    if plan.target.kind.numeric:
        return []
    few = np.linspace(0, training.num_rows - 1, min(FEW_ROWS, training.num_rows)).astype(int)
    plain = [column.name for column in plan.columns if column.kind == "number"]
    values = {name: numbers(training.column(name)) for name in plain}
    alone = {name: judge.binned_value(values[name][few], few) for name in plain}
    names = sorted((n for n in plain if n not in but), key=lambda n: -alone[n])[:MAX_NUMBERS]
    hints = []
    for index, strong in enumerate(names):
        for other in names[index + 1 :]:
            for place, made in enumerate(_made(values[strong][few], values[other][few])):
                hint = judge.binned_value(made, few)
                if hint >= HINT and hint > alone[strong]:
                    hints.append((round(hint, 2), -place, strong, other))
    best: dict[str, Score] = {}
    for _, place, strong, other in sorted(hints, reverse=True)[:MAX_TREES]:
        if strong in best and other in best:
            continue
        known, asked = (
            list(_made(*(numbers(rows.column(name)) for name in (strong, other))))[-place][:, None]
            for rows in (training, held_out)
        )
        words = WORDS[-place].format(strong, other)
        score = judge.score(known.astype(np.float32), asked.astype(np.float32), strong, words)
        if strong not in best or score.value > best[strong].value:
            best[strong] = score
    return list(best.values())


def _made(a: np.ndarray, b: np.ndarray) -> Iterator[np.ndarray]:
    """What may be made of two columns, in the order of `WORDS`; NaN for what is not finite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for made in (a / b, b / a, a - b, a + b, a * b):
            yield np.where(np.isfinite(made), made, np.nan)


def identifier_scores(
    plan: FeaturePlan, judge: Judge, training: pa.Table, held_out: pa.Table
) -> list[Score]:
    """The score of each identifier's place in the order of all of them.

    It tells of rows that were numbered class by class.
    """
    scores = []
    for dropped in plan.dropped:
        if "identifier" not in dropped.reason:
            continue
        texts = [
            np.array(rows.column(dropped.name).cast(pa.string()).fill_null("").to_pylist())
            for rows in (training, held_out)
        ]
        places = np.unique(np.concatenate(texts), return_inverse=True)[1].astype(np.float32)
        known, asked = places[: len(texts[0]), None], places[len(texts[0]) :, None]
        scores.append(judge.score(known, asked, dropped.name))
    return scores
