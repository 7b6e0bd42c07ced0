"""Which answers another category turns: each column's most frequent ones are put in its place."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shipway.components.lib.contributions import column_starts
from shipway.components.lib.encoders import CODED
from shipway.components.lib.features import FeaturePlan, to_float32
from shipway.components.lib.scoring import Prediction, Scorer

MAX_CATEGORIES = 8


@dataclass(frozen=True)
class Categories:
    """A column of categories that the trees use: its features, and those of each category.

    Attributes:
        name: of the column.
        block: of its features.
        features: shape (categories, features), the most frequent first.
    """

    name: str
    block: slice
    features: np.ndarray


def categories_of(
    plan: FeaturePlan, matrix: np.ndarray, gains: Mapping[int, float], most: int
) -> list[Categories]:
    """The columns of categories that bring the trees the most, with what rows hold most often.

    Args:
        plan: which knows the categories seen in training.
        matrix: features of rows, shape (n, k).
        gains: what a feature brings the trees, of those that they use.
        most: columns at most.
    """
    found = []
    for start, column in zip(column_starts(plan), plan.columns, strict=True):
        block = slice(int(start), int(start) + len(column.outputs))
        gain = sum(gains.get(place, 0.0) for place in range(block.start, block.stop))
        if column.kind not in (*CODED, "boolean") or not gain:
            continue
        held = matrix[:, block]
        values, counts = np.unique(held[np.isfinite(held).all(1)], axis=0, return_counts=True)
        if column.table:  # a value that training did not see stands among rare ones
            seen = {tuple(to_float32(np.array(each))) for each in column.table.values()}
            known = np.array([tuple(each) in seen for each in values], dtype=bool)
            values, counts = values[known], counts[known]
        order = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
        if len(order) > 1:
            found.append((gain, Categories(column.name, block, values[order])))
    found.sort(key=lambda pair: -pair[0])
    return [one for _, one in found[:most]]


def swapped(
    scorer: Scorer, matrix: np.ndarray, said: Prediction, column: Categories, moved: float | None
) -> np.ndarray:
    """The rows whose answer another category of a column turns; a missing one is left alone."""
    choices = len(column.features)
    tried = np.repeat(matrix, choices, axis=0)
    tried[:, column.block] = np.tile(column.features, (len(matrix), 1))
    found = turned(scorer, tried, said, moved).any(axis=1)
    return np.asarray(found & np.isfinite(matrix[:, column.block]).all(axis=1))


def turned(scorer: Scorer, tried: np.ndarray, said: Prediction, moved: float | None) -> np.ndarray:
    """Whether the answers to changed rows are other ones.

    Args:
        scorer: the model.
        tried: features of n times c rows, the c changes of a row one after another.
        said: of the n rows.
        moved: by how much a value turns; None where labels do.

    Returns:
        Booleans of shape (n, c).
    """
    found = scorer.score_matrix(scorer.plan.refreshed(tried))
    if moved is None:
        assert found.labels is not None
        assert said.labels is not None
        return np.asarray(found.labels.reshape(len(said.labels), -1) != said.labels[:, None])
    assert found.values is not None
    assert said.values is not None
    gaps = found.values.reshape(len(said.values), -1) - said.values[:, None]
    return np.asarray(np.abs(gaps) > moved)
