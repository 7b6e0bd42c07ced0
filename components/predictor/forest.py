"""A forest of trees as flat arrays: a few rows walk all its trees at once, one level a step.

XGBoost needs some hundred microseconds for a single row, most of it before the first tree. The walk
gives the same bits: it compares and adds in float32, in XGBoost's order.
"""

import json
from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.objectives import to_margin


class Forest:
    """The trees of a booster, laid end to end."""

    def __init__(self, trees: list[dict[str, Any]], groups: list[int], base: np.ndarray) -> None:
        """Lay out trees as XGBoost writes them.

        Args:
            trees: `gradient_booster.model.trees` of the model's JSON.
            groups: the class of each tree.
            base: margins before the first tree, float32 of shape (classes,).

        Raises:
            ValueError: the trees are of a kind that cannot be walked.
        """
        order = np.argsort(groups, kind="stable")
        counts = np.bincount(groups, minlength=len(base))
        if len(counts) != len(base) or len(set(counts)) != 1:
            raise ValueError("the classes have different numbers of trees")
        offsets = np.concatenate([[0], np.cumsum([len(t["left_children"]) for t in trees])])
        parts = [_arrays(tree, start) for tree, start in zip(trees, offsets[:-1], strict=True)]
        features, thresholds, children, missing_right, depths = zip(*parts, strict=True)
        self._features = np.concatenate(features)
        self._thresholds = np.concatenate(thresholds)
        self._children = np.concatenate(children)
        self._missing_right = np.concatenate(missing_right)
        self._leaves = np.concatenate(
            [np.asarray(tree["split_conditions"], dtype=np.float32) for tree in trees]
        )
        self._roots = offsets[:-1][order]
        self._base = base[:, None]
        self.depth = max(depths)

    def margins(self, rows: np.ndarray) -> np.ndarray:
        """Sums of leaf values: float32 of shape (n, classes), of float32 rows of shape (n, k)."""
        count, width = rows.shape
        flat = rows.ravel()
        missing = np.isnan(flat) if np.isnan(flat.min(initial=0)) else None
        node = self._roots
        if count > 1:
            node = np.broadcast_to(node, (count, len(node)))
            starts = np.arange(0, count * width, width)[:, None]
        for _ in range(self.depth):
            cell = self._features.take(node)
            if count > 1:
                cell += starts
            right = flat.take(cell) >= self._thresholds.take(node)
            if missing is not None:
                right |= missing.take(cell) & self._missing_right.take(node)
            node = self._children.take(node)
            node += right
        classes = len(self._base)
        values = np.empty((count, classes, len(self._roots) // classes + 1), dtype=np.float32)
        values[:, :, :1] = self._base
        values[:, :, 1:] = self._leaves.take(node).reshape(count, classes, -1)
        # One after the other, as XGBoost adds; NumPy's `sum` adds in pairs.
        return np.asarray(np.add.accumulate(values, axis=2)[:, :, -1])


def _arrays(tree: dict[str, Any], start: int) -> tuple[np.ndarray, ...]:
    left = np.asarray(tree["left_children"], dtype=np.intp)
    right = np.asarray(tree["right_children"], dtype=np.intp)
    leaf, own = left < 0, np.arange(len(left))
    if any(tree["split_type"]) or len(tree["base_weights"]) != len(left):
        raise ValueError("a tree splits by category, or its leaves are vectors")
    if np.any(right[~leaf] != left[~leaf] + 1):
        raise ValueError("the children of a node do not stand side by side")
    features = np.where(leaf, 0, np.asarray(tree["split_indices"], dtype=np.intp))
    # A leaf leads to itself, so that short paths wait for long ones.
    thresholds = np.where(leaf, np.inf, tree["split_conditions"]).astype(np.float32)
    children = np.where(leaf, own, left) + start
    missing_right = ~leaf & (np.asarray(tree["default_left"]) == 0)
    depth = np.zeros(len(left), dtype=int)
    for node in own[~leaf]:  # a child stands after its parent
        depth[left[node]] = depth[right[node]] = depth[node] + 1
    return features, thresholds, children, missing_right, depth.max()


def forest_of(booster: xgb.Booster) -> Forest | None:
    """The forest of a booster; None where it is of a kind that cannot be walked."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    if learner["gradient_booster"]["name"] != "gbtree":
        return None
    model = learner["gradient_booster"]["model"]
    score = learner["learner_model_param"]["base_score"].strip("[]")
    base = np.array([float(part) for part in score.split(",")], dtype=np.float32)
    base = to_margin(learner["objective"]["name"], base)
    parameters = learner["learner_model_param"]
    classes = max(int(parameters["num_class"]), int(parameters["num_target"]), 1)
    try:
        return Forest(model["trees"], model["tree_info"], np.broadcast_to(base, classes))
    except ValueError:
        return None
