"""What a model must beat: the best constant, one rule on one column, and a linear model.

They are fitted on the rows that the model was trained on, and scored on the same test rows.
"""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.scoring import Prediction

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

logger = logging.getLogger(__name__)

MAX_LEAVES = 8
MAX_FEATURES = 200
MIN_CLASS_ROWS = 2
ROWS_OF_RULE = 5_000


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline: what it is, in words, and what it says of the test rows."""

    description: str
    prediction: Prediction


def fit_baselines(
    plan: FeaturePlan, matrix: np.ndarray, y: np.ndarray, test: np.ndarray
) -> dict[str, Baseline]:
    """Fit one rule and a linear model.

    Args:
        plan: the model's feature plan.
        matrix: features of the rows that taught the model, float32 of shape (n, k).
        y: their labels, as the target encodes them.
        test: features of the test rows, shape (m, k).

    Returns:
        By name, "one_rule" and "linear"; empty where the rows cannot teach anything.
    """
    classes = len(plan.target.classes)
    if not plan.target.kind.numeric:
        counts = np.bincount(y, minlength=classes)
        if (counts > 0).sum() < 2 or counts[counts > 0].min() < MIN_CLASS_ROWS:
            logger.warning("The training sample lacks a class: no baselines are fitted.")
            return {}
    return {
        "one_rule": _one_rule(plan, matrix, y, test),
        "linear": _linear(plan, matrix, y, test),
    }


def _one_rule(plan: FeaturePlan, matrix: np.ndarray, y: np.ndarray, test: np.ndarray) -> Baseline:
    """The best small tree on a single feature.

    R. Holte, "Very simple classification rules perform well on most commonly used datasets",
    Machine Learning 11, 1993.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    options: dict[str, Any] = {
        "max_leaf_nodes": MAX_LEAVES,
        "min_samples_leaf": max(5, min(len(y), ROWS_OF_RULE) // 100),
        "random_state": 0,
    }
    regression = plan.target.kind.numeric
    best, best_loss, chosen = None, np.inf, 0
    # Drawn: the first rows of a table that is sorted are like each other.
    rows = np.sort(np.random.default_rng(0).permutation(len(y))[:ROWS_OF_RULE])
    some, y = matrix[rows], y[rows]
    for index in range(min(matrix.shape[1], MAX_FEATURES)):
        column = some[:, [index]]
        if regression:
            tree = DecisionTreeRegressor(**options).fit(column, y)
        else:
            tree = DecisionTreeClassifier(criterion="log_loss", **options).fit(column, y)
        inner = tree.tree_
        leaves = inner.children_left < 0
        loss = float((inner.impurity[leaves] * inner.weighted_n_node_samples[leaves]).sum())
        if loss < best_loss:
            best, best_loss, chosen = tree, loss, index
    name = plan.feature_names[chosen]
    return Baseline(f"at most {MAX_LEAVES} ranges of {name}", _said(plan, best, test[:, [chosen]]))


def _linear(plan: FeaturePlan, matrix: np.ndarray, y: np.ndarray, test: np.ndarray) -> Baseline:
    from sklearn.exceptions import ConvergenceWarning

    model = _linear_model(plan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(matrix.astype(np.float64), y)
    kind = "ridge" if plan.target.kind.numeric else "logistic"
    text = f"{kind} regression on {len(plan.feature_names)} features"
    return Baseline(text, _said(plan, model, test.astype(np.float64)))


def _linear_model(plan: FeaturePlan) -> "Pipeline":
    """Categories one-hot; numbers with the median for what is missing, standardised."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    kinds = [column.kind for column in plan.columns for _ in column.outputs]
    kinds += ["number"] * len(plan.interactions)
    codes = [index for index, kind in enumerate(kinds) if kind == "category"]
    others = [index for index, kind in enumerate(kinds) if kind != "category"]
    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(filled, StandardScaler()), others),
            ("codes", OneHotEncoder(handle_unknown="ignore", sparse_output=False), codes),
        ]
    )
    last = Ridge() if plan.target.kind.numeric else LogisticRegression(max_iter=200)
    return make_pipeline(columns, last)


def _said(plan: FeaturePlan, model: Any, test: np.ndarray) -> Prediction:
    if plan.target.kind.numeric:
        return Prediction(values=np.asarray(model.predict(test), dtype=np.float64))
    probabilities = np.zeros((len(test), len(plan.target.classes)))
    probabilities[:, model.classes_.astype(int)] = model.predict_proba(test)
    return Prediction(probabilities, probabilities.argmax(axis=1).astype(np.int32))


def described(baselines: Mapping[str, Baseline], ranked: bool = False) -> dict[str, str]:
    """What each baseline is, in words."""
    words = {"constant": "a random order" if ranked else "the best answer that looks at no column"}
    return words | {name: each.description for name, each in baselines.items()}
