"""Several boosters as one, for any XGBoost to load."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost as xgb

from shipway.components.lib.objectives import from_margin, to_margin


def merged(members: Sequence[xgb.Booster]) -> xgb.Booster:
    """One booster whose margins are the mean of those of others, for any XGBoost to load.

    Args:
        members: trained on the same features with the same objective.
    """
    parts = [json.loads(member.save_raw("json")) for member in members]
    whole = parts[0]
    learner = whole["learner"]
    model = learner["gradient_booster"]["model"]
    objective = learner["objective"]["name"]
    learner["learner_model_param"]["base_score"] = _mean_base(objective, parts)
    trees: list[dict[str, Any]] = []
    groups: list[int] = []
    starts = [0]
    for part in parts:
        one = part["learner"]["gradient_booster"]["model"]
        starts += [len(trees) + start for start in one["iteration_indptr"][1:]]
        groups += one["tree_info"]
        trees += one["trees"]
    for number, tree in enumerate(trees):
        _shrink(tree, len(parts))
        tree["id"] = number
    model |= {"trees": trees, "tree_info": groups, "iteration_indptr": starts}
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    return xgb.Booster(model_file=bytearray(json.dumps(whole), "utf-8"))


def _shrink(tree: dict[str, Any], count: int) -> None:
    conditions = tree["split_conditions"]
    for node, left in enumerate(tree["left_children"]):
        if left < 0:
            conditions[node] /= count
    tree["base_weights"] = [weight / count for weight in tree["base_weights"]]


def _mean_base(objective: str, parts: Sequence[dict[str, Any]]) -> str:
    """The base score whose margin is the mean of those of the parts, as XGBoost writes it."""
    texts = [part["learner"]["learner_model_param"]["base_score"] for part in parts]
    scores = np.array([[float(v) for v in text.strip("[]").split(",")] for text in texts])
    mean = from_margin(objective, to_margin(objective, scores).mean(axis=0))
    return f"[{','.join(f'{value:.9E}' for value in mean)}]"
