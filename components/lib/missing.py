"""Where missing cells stand while a large table trains.

One missing cell makes XGBoost keep a matrix as a sparse one: four bytes a cell for one, and twice
the time for each tree. So missing cells of a large table take a number of their feature while
trees grow: its median, or, where rows with such a cell surely have other outcomes than those
around the median, a number where outcomes are like theirs. Afterwards each split sends missing
cells to the side on which that number stands: the booster says of a row with missing cells, bit by
bit, what it said of them in training.
"""

import json

import numpy as np
import xgboost as xgb

BINS = 21  # of known cells, as many in each; the one in the middle holds the median
SURE = 3.0  # standard errors
ENOUGH = 50_000  # rows that numbers are looked for among
BLOCK = 4_000_000  # cells that are looked at together
MOST = float(np.finfo(np.float32).max)


def places_of_missing(features: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The number that stands for missing cells, by feature.

    A feature without a missing cell among these rows has its median.

    Args:
        features: float32 of shape (n, k), drawn from the training rows.
        y: labels, shape (n,): codes of classes where they are whole numbers.

    Returns:
        float32 of shape (k,).
    """
    every = max(1, len(y) // ENOUGH)
    features, y = features[::every], y[::every]
    outcomes = y[:, None]
    if np.issubdtype(y.dtype, np.integer):
        outcomes = y[:, None] == np.unique(y)
    outcomes = outcomes.astype(np.float64)
    places = [_place(cells, outcomes) for cells in features.T]
    return np.array(places, dtype=np.float32)


def _place(cells: np.ndarray, outcomes: np.ndarray) -> float:
    known = ~np.isnan(cells)
    values = cells[known]
    if not len(values):
        return 0.0
    median = float(np.median(values))
    if len(values) == len(cells):
        return median
    edges = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    bins = np.searchsorted(edges, values, "right")
    counts = np.bincount(bins, minlength=BINS)
    theirs, unknown = outcomes[known], outcomes[~known].mean(axis=0)
    around = theirs[bins == np.searchsorted(edges, median, "right")]
    if not len(around):  # the median lies between two values
        around = theirs
    spread = theirs.var(axis=0) * (1 / len(around) + 1 / (len(cells) - len(values)))
    if (np.abs(around.mean(axis=0) - unknown) <= SURE * np.sqrt(spread)).all():
        return median
    sums = [np.bincount(bins, column, BINS) for column in theirs.T]
    apart = np.stack(sums) / np.maximum(counts, 1) - unknown[:, None]
    filled = np.flatnonzero(counts)
    nearest = filled[np.argmin((apart[:, filled] ** 2).sum(axis=0))]
    # At either end a number of its own: one split tells missing cells from all others.
    if nearest == filled[0]:
        return _beyond(float(values.min()), -1)
    if nearest == filled[-1]:
        return _beyond(float(values.max()), 1)
    return float(np.median(values[bins == nearest]))


def _beyond(end: float, side: int) -> float:
    """A number past the last one; XGBoost takes none that is infinite."""
    return float(np.clip(end + side * max(1.0, abs(end)), -MOST, MOST))


def stand_in(features: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Put the numbers where cells are missing, in place.

    Args:
        features: float32 of shape (n, k).
        places: by `places_of_missing`.
    """
    rows = max(1, BLOCK // max(1, len(places)))
    for start in range(0, len(features), rows):
        block = features[start : start + rows]
        np.copyto(block, places, where=np.isnan(block))
    return features


def sending_missing(booster: xgb.Booster, places: np.ndarray) -> xgb.Booster:
    """A booster that says of missing cells what it said of the numbers in their place."""
    whole = json.loads(booster.save_raw("json"))
    for tree in whole["learner"]["gradient_booster"]["model"]["trees"]:
        bounds = np.array(tree["split_conditions"], dtype=np.float32)
        inner = np.array(tree["left_children"]) >= 0
        left = inner & (places[np.array(tree["split_indices"])] < bounds)
        tree["default_left"] = left.astype(int).tolist()
    return xgb.Booster(model_file=bytearray(json.dumps(whole), "utf-8"))
