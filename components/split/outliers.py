"""Rows unlike the others, by an isolation forest, and the columns that make them so."""

from dataclasses import dataclass, field

import numpy as np

from shipway.components.lib.decision import Rule
from shipway.components.lib.features import FeaturePlan
from shipway.components.split.subject import Subject, passed

ROWS = 5_000
MIN_ROWS = 200
TREES = 60
ODD = 0.6
MAX_SHARE = 0.005
FAR = 20.0
SHOWN = 10


@dataclass(frozen=True)
class Outliers:
    """What was found.

    Attributes:
        rule: the verdict.
        columns: feature, and in how many outliers it lies far out.
        rows: row of the table, its score, its odd feature and how far out that lies; the oddest
            first. Values are not told, as the column may be private.
    """

    rule: Rule
    columns: list[list[object]] = field(default_factory=list)
    rows: list[list[object]] = field(default_factory=list)


def find_outliers(subject: Subject, plan: FeaturePlan | None) -> Outliers | None:
    """Look at a sample of the training rows' features; None where there are none.

    The score is that of F. T. Liu, K. M. Ting and Z.-H. Zhou, "Isolation Forest", ICDM 2008: about
    0.5 for a row like the others, towards 1 for one that few cuts set apart.
    """
    if plan is None:
        return None
    rows = min(ROWS, subject.training.num_rows)
    if rows < MIN_ROWS:
        sentence = f"Only {rows} training rows: too few to tell which are unlike the others."
        return Outliers(passed("outlier_rows", sentence, rows))
    chosen = np.sort(np.random.default_rng(2).permutation(subject.training.num_rows)[:rows])
    features = plan.transform(subject.training.take(chosen)).astype(np.float64)
    scores = _scores(features)
    distances = _distances(features)
    # A row counts where the forest finds it odd and a single feature says why.
    odd = np.flatnonzero((scores > ODD) & (distances.max(axis=1) > FAR))
    odd = odd[np.argsort(-scores[odd], kind="stable")]
    share = len(odd) / rows
    if share < MAX_SHARE:
        sentence = f"{share:.2%} of the training rows are unlike all others."
        rule = passed("outlier_rows", sentence, rows)
        return Outliers(rule, *_why(subject, plan, chosen, odd, scores, distances))
    columns, shown = _why(subject, plan, chosen, odd, scores, distances)
    sentence = (
        f"{share:.1%} of the training rows are unlike all others, most often by '{columns[0][0]}'. "
        "Look at the first of them: a wrong unit, a shifted column or a planted row; declare "
        "na_values, bound the column in the schema, or leave such rows out."
    )
    rule = Rule("outlier_rows", "warn", sentence, share, f"< {MAX_SHARE:.1%}", n=rows)
    return Outliers(rule, columns, shown)


def _scores(features: np.ndarray) -> np.ndarray:
    from sklearn.ensemble import IsolationForest

    medians = np.nanmedian(np.where(np.isfinite(features), features, np.nan), axis=0)
    filled = np.where(np.isfinite(features), features, np.nan_to_num(medians))
    forest = IsolationForest(n_estimators=TREES, random_state=0)
    return np.asarray(-forest.fit(filled.astype(np.float32)).score_samples(filled))


def _distances(features: np.ndarray) -> np.ndarray:
    """How far each value lies from the middle of its feature, in widths of the middle half.

    A feature of few values has none that lies far out.
    """
    low, quarter, three, high = np.nanquantile(features, [0.05, 0.25, 0.75, 0.95], axis=0)
    width = np.maximum(three - quarter, (high - low) / 4)
    middle = np.nanmedian(features, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.abs(features - middle) / width
    return np.nan_to_num(np.where(width > 0, distances, 0.0), nan=0.0)


def _why(
    subject: Subject,
    plan: FeaturePlan,
    chosen: np.ndarray,
    odd: np.ndarray,
    scores: np.ndarray,
    distances: np.ndarray,
) -> tuple[list[list[object]], list[list[object]]]:
    names = [output for column in plan.columns for output in column.outputs]
    worst = distances[odd].argmax(axis=1) if len(odd) else np.empty(0, dtype=np.int64)
    counts = np.bincount(worst, minlength=len(names))
    columns: list[list[object]] = [
        [names[i], int(counts[i])] for i in np.argsort(-counts)[:SHOWN] if counts[i]
    ]
    rows: list[list[object]] = [
        [int(subject.training_rows[chosen[i]]), f"{scores[i]:.2f}", names[j],
         f"{distances[i, j]:.0f} widths from the middle"]
        for i, j in zip(odd[:SHOWN], worst[:SHOWN], strict=True)
    ]  # fmt: skip
    return columns, rows
