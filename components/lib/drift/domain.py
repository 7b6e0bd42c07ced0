"""The multivariate test: can a model tell a current row from one of the baseline?

Trees learn on one half of a sample of both tables and score the other half. Where they cannot tell,
the area under the ROC curve is 0.5 but for chance, which for rows that were not learnt from is that
of the rank-sum test (H. B. Mann and D. R. Whitney, Ann. Math. Statist. 18(1), 1947); the interval
is that of E. R. DeLong et al., Biometrics 44(3), 1988. It also sees what no column shows by itself,
such as two columns that no longer go together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIN_ROWS = 100
MAX_ROWS = 20_000
SETTINGS = {
    "objective": "binary:logistic",
    "max_depth": 5,
    "eta": 0.2,
    "subsample": 0.8,
    "min_child_weight": 5,
    "tree_method": "hist",
    "max_bin": 64,
    "verbosity": 0,
}
ROUNDS = 40
NAMED = 5
NAMED_SHARE = 0.9


@dataclass(frozen=True)
class Domain:
    """How well the tables are told apart.

    Attributes:
        area: under the ROC curve of rows that were not learnt from.
        error: standard error of the area.
        p_value: how often chance alone tells them apart as well.
        gains: share of each view in what the trees gained, the largest first.
        rows: that were scored.
    """

    area: float
    error: float
    p_value: float
    gains: list[tuple[str, float]]
    rows: int

    def lower(self, level: float) -> float:
        """A one-sided lower confidence bound of the area."""
        from scipy.special import ndtri

        return float(self.area - ndtri(1 - level) * self.error)

    @property
    def named(self) -> list[str]:
        """The views that tell most of the difference."""
        names: list[str] = []
        told = 0.0
        for name, share in self.gains[:NAMED]:
            if told < NAMED_SHARE:
                names.append(name)
                told += share
        return names


def told_apart(
    base: np.ndarray, current: np.ndarray, names: Sequence[str], seed: int
) -> Domain | None:
    """Train and score.

    Args:
        base: float rows of the baseline, shape (n, k).
        current: float rows of the current table, shape (m, k).
        names: of the k views.
        seed: draws the halves.

    Returns:
        None where either table has fewer than 100 rows, or there is no view.
    """
    import xgboost as xgb

    if min(len(base), len(current)) < MIN_ROWS or not names:
        return None
    rng = np.random.default_rng(seed)
    rows = np.concatenate([base, current]).astype(np.float32)
    is_current = np.repeat([0, 1], [len(base), len(current)])
    learns, scores_on = [], []
    for side in (0, 1):  # half of each
        mine = rng.permutation(np.flatnonzero(is_current == side))[:MAX_ROWS]
        learns.append(mine[: len(mine) // 2])
        scores_on.append(mine[len(mine) // 2 :])
    weights = np.repeat([1.0, len(learns[0]) / len(learns[1])], [len(one) for one in learns])
    known = np.concatenate(learns)
    safe = [f"f{index}" for index in range(len(names))]
    training = xgb.QuantileDMatrix(
        rows[known], is_current[known], weight=weights, feature_names=safe, max_bin=64
    )
    booster = xgb.train(SETTINGS | {"seed": seed}, training, ROUNDS)
    below, above = (booster.inplace_predict(rows[one]) for one in scores_on)
    area, error, p_value = rank_test(above, below)
    gains = booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    shares = [(name, gains.get(code, 0.0) / total) for code, name in zip(safe, names, strict=True)]
    ranked = sorted((pair for pair in shares if pair[1] > 0), key=lambda pair: -pair[1])
    return Domain(area, error, p_value, ranked, len(below) + len(above))


def rank_test(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float, float]:
    """The area under the ROC curve, its standard error, and a one-sided p-value against 0.5."""
    m, n = len(positive), len(negative)
    pooled = np.concatenate([positive, negative])
    _, codes, ties = np.unique(pooled, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[codes]
    above = (ranks[:m] - _own_ranks(positive)) / n  # share of the negatives below each positive
    below = 1 - (ranks[m:] - _own_ranks(negative)) / m
    area = float(above.mean())
    error = math.sqrt(float(above.var(ddof=1)) / m + float(below.var(ddof=1)) / n)
    tied = float((ties.astype(float) ** 3 - ties).sum()) / ((m + n) * (m + n - 1))
    spread = math.sqrt(max((m + n + 1 - tied) / (12.0 * m * n), 0.0))
    p_value = math.erfc((area - 0.5) / spread / math.sqrt(2)) / 2 if spread else 1.0
    return area, error, p_value


def _own_ranks(values: np.ndarray) -> np.ndarray:
    _, codes, ties = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(ties) - (ties - 1) / 2)[codes])
