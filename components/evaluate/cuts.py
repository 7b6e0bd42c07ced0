"""Where the trees cut numbers, and what each feature brings them."""

import json
from dataclasses import dataclass

import numpy as np
import xgboost as xgb

from shipway.components.lib.contributions import column_starts
from shipway.components.lib.features import FeaturePlan

MAX_COLUMNS = 12
MAX_CUTS = 64
NUMBERS = ("number", "text_number")


@dataclass(frozen=True)
class CutColumn:
    """A number that the trees cut: its feature, where they do, and what training rows held."""

    name: str
    feature: int
    cuts: np.ndarray
    low: float
    high: float
    usual: float
    whole: bool


def cut_columns(
    plan: FeaturePlan, known: np.ndarray, cuts: dict[int, tuple[float, np.ndarray]]
) -> list[CutColumn]:
    """The numbers that bring the trees the most, with at most 64 of their cuts."""
    found = []
    for start, column in zip(column_starts(plan), plan.columns, strict=True):
        values = known[:, start].astype(np.float64)
        values = values[np.isfinite(values)]
        if column.kind not in NUMBERS or int(start) not in cuts or not len(values):
            continue
        gain, all_cuts = cuts[int(start)]
        kept = np.linspace(0, len(all_cuts) - 1, min(len(all_cuts), MAX_CUTS)).round().astype(int)
        low, high = values.min(), values.max()
        ends = np.quantile(values, [0.05, 0.95])
        usual = float(ends[1] - ends[0]) or float(high - low)
        whole = bool(np.all(values == np.round(values)))
        if usual > 0:
            one = CutColumn(column.name, int(start), all_cuts[kept], low, high, usual, whole)
            found.append((gain, one))
    found.sort(key=lambda pair: -pair[0])
    return [one for _, one in found[:MAX_COLUMNS]]


def cuts_of(booster: xgb.Booster) -> tuple[int, dict[int, tuple[float, np.ndarray]]]:
    """How many trees there are, and of each feature its gain and where it is cut."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    trees = learner["gradient_booster"].get("model", {}).get("trees", [])
    parts = [
        [np.asarray(tree[name]) for tree in trees]
        for name in ("left_children", "split_indices", "split_conditions", "loss_changes")
    ]
    if not trees:
        return 0, {}
    left, feature, cut, gain = (np.concatenate(part) for part in parts)
    inner = left >= 0
    return len(trees), {
        int(one): (
            float(gain[inner & (feature == one)].sum()),
            np.unique(cut[inner & (feature == one)].astype(np.float32)),
        )
        for one in np.unique(feature[inner])
    }
