"""Wrong labels: rows whose label a model that never saw them is sure is another.

Suspects are counted as confident learning does it (C. Northcutt, L. Jiang and I. Chuang, "Confident
Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021): by out-of-fold probabilities,
held against each class's own mean confidence. An honest label that is hard to predict has suspects
too, but few of them where the model is surest. Wrong labels do not care how sure it is: they
are as frequent there as anywhere. That alone is told.
"""

from dataclasses import dataclass

import numpy as np

from shipway.components.lib.decision import Rule
from shipway.components.lib.features import FeaturePlan
from shipway.components.split.judge import area_under_roc
from shipway.components.split.subject import Subject, passed

ROWS = 10_000
MIN_ROWS = 200
FOLDS = 3
ROUNDS = 40
MAX_CLASSES = 20
MIN_AREA = 0.75
MIN_NOISE = 0.01
FLATNESS = 0.85
SHOWN = 20


@dataclass(frozen=True)
class Noise:
    """What was found.

    Attributes:
        rule: the verdict.
        pairs: given class, likely class, and suspects.
        suspects: row of the table, given class, likely class, its probability; the surest first.
    """

    rule: Rule
    pairs: list[list[object]]
    suspects: list[list[object]]


def find_noise(subject: Subject, plan: FeaturePlan | None) -> Noise | None:
    """Look for wrong labels among a sample of the training rows; None for a regression."""
    classes = subject.target.classes
    rows = min(ROWS, len(subject.training_rows))
    if plan is None or not classes or len(classes) > MAX_CLASSES:
        return None
    if rows < MIN_ROWS:
        sentence = f"Only {rows} training rows: too few to look for wrong labels."
        return Noise(passed("label_noise", sentence, rows), [], [])
    chosen = np.sort(np.random.default_rng(1).permutation(len(subject.training_rows))[:rows])
    y = subject.known[chosen]
    probabilities = _out_of_fold(plan.transform_training(subject.training)[chosen], y, len(classes))
    likely = probabilities.argmax(axis=1)
    area = _area(y, probabilities)
    suspect = _suspects(y, probabilities)
    count = int(suspect.sum())
    noise, flatness = _flat_errors(y, likely, probabilities)
    told = area >= MIN_AREA and noise >= MIN_NOISE and flatness >= FLATNESS
    rule = _rule(told, noise, count, area, rows)
    order = np.flatnonzero(suspect)
    order = order[np.argsort(-probabilities[order, likely[order]], kind="stable")]
    shown = [
        [int(subject.training_rows[chosen[i]]), str(classes[y[i]]), str(classes[likely[i]]),
         f"{probabilities[i, likely[i]]:.1%}"]
        for i in order[:SHOWN]
    ]  # fmt: skip
    return Noise(rule, _pairs(y, likely, suspect, [str(c) for c in classes]), shown)


def _out_of_fold(features: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    import xgboost

    result = np.zeros((len(y), classes))
    folds = np.random.default_rng(0).permutation(len(y)) % FOLDS
    several = {"objective": "multi:softprob", "num_class": classes}
    settings = {
        "tree_method": "hist", "max_depth": 4, "eta": 0.2, "max_bin": 64, "seed": 0, "nthread": 1,
        "min_child_weight": 5, "subsample": 0.8,
        **(several if classes > 2 else {"objective": "binary:logistic"}),
    }  # fmt: skip
    for fold in range(FOLDS):
        out = folds == fold
        fitted = xgboost.DMatrix(features[~out], label=y[~out])
        booster = xgboost.train(settings, fitted, num_boost_round=ROUNDS)
        predicted = np.asarray(booster.predict(xgboost.DMatrix(features[out])))
        result[out] = predicted if classes > 2 else np.stack([1 - predicted, predicted], axis=1)
    return result


def _area(y: np.ndarray, probabilities: np.ndarray) -> float:
    classes = range(probabilities.shape[1])
    areas = [area_under_roc(y == c, probabilities[:, c]) for c in classes if (y == c).any()]
    return float(np.mean(areas))


def _suspects(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Rows off the diagonal of the confident joint; shape (n,)."""
    classes = probabilities.shape[1]
    own = [probabilities[y == c, c].mean() if (y == c).any() else np.inf for c in range(classes)]
    sure = np.where(probabilities >= np.array(own), probabilities, -1.0)
    return np.asarray((sure.max(axis=1) > 0) & (sure.argmax(axis=1) != y))


def _flat_errors(
    y: np.ndarray, likely: np.ndarray, probabilities: np.ndarray
) -> tuple[float, float]:
    """The share of wrong labels where the model is surest, proven; and that to the next third's.

    Class by class, as noise may strike one class alone: of all, the one with the flattest errors.
    """
    best = (0.0, 0.0)
    for code in np.unique(likely):
        rows = np.flatnonzero(likely == code)
        if len(rows) < MIN_ROWS / 2:
            continue
        order = rows[np.argsort(-probabilities[rows, code], kind="stable")]
        sure, less = ((y[part] != code).mean() for part in np.array_split(order, 3)[:2])
        noise = float(sure - 2 * np.sqrt(sure * (1 - sure) / (len(order) / 3)))
        if noise >= MIN_NOISE:
            best = max(best, (noise, float(sure / max(less, 1e-12))), key=lambda one: one[1])
    return best


def _rule(told: bool, noise: float, count: int, area: float, rows: int) -> Rule:
    if told:
        sentence = (
            f"At least {noise:.1%} of the labels look wrong: they contradict the model no less "
            f"often where it is surest than elsewhere. {count:,} of {rows:,} training rows are "
            "listed as suspects, by out-of-fold confidence. Let someone look at the first of them, "
            "and ask how labels are made."
        )
        return Rule("label_noise", "warn", sentence, noise, f"< {MIN_NOISE:.0%}", n=rows)
    if area < MIN_AREA:
        sentence = (
            f"Wrong labels cannot be told from labels that are hard to predict (AUC {area:.2f})."
        )
    else:
        sentence = (
            f"Labels are contradicted where the model is unsure, not where it is sure: no sign of "
            f"wrong ones (AUC {area:.2f})."
        )
    return passed("label_noise", sentence, rows)


def _pairs(
    y: np.ndarray, likely: np.ndarray, suspect: np.ndarray, classes: list[str]
) -> list[list[object]]:
    found: list[tuple[int, list[object]]] = []
    for given, name in enumerate(classes):
        for other, likely_name in enumerate(classes):
            count = int((suspect & (y == given) & (likely == other)).sum())
            if count and given != other:
                share = f"{count / (y == given).sum():.1%}"
                found.append((count, [name, likely_name, count, share]))
    return [row for _, row in sorted(found, key=lambda one: -one[0])]
