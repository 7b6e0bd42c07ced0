"""Whether a probability means what it says: bins with intervals, and how much may be chance."""

from typing import Any

import numpy as np

from shipway.components.evaluate.residuals import said_and_came
from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.measures import equal_mass_bins
from shipway.components.lib.proportions import share

ROUNDS = 500


def calibration_table(held: HeldOut) -> list[dict[str, float]]:
    """What was predicted against what came, in ten bins of equal mass.

    Binary: the probability of the positive class; multiclass: of the predicted class; regression:
    the value. Rows of an unseen class are left out.

    Returns:
        One row a bin: n, predicted (mean), observed (share or mean), low and high: the ends of the
        share's interval, or for a regression the 10th and 90th percentile of what was observed.
    """
    said, came, _ = said_and_came(held)
    bins = equal_mass_bins(said)
    table = []
    for number in np.unique(bins):
        rows = bins == number
        row = {
            "n": float(rows.sum()),
            "predicted": float(said[rows].mean()),
            "observed": float(came[rows].mean()),
        }
        if held.target.task == "regression":
            row["low"], row["high"] = (float(q) for q in np.quantile(came[rows], [0.1, 0.9]))
        else:
            found = share(int(came[rows].sum()), int(rows.sum()))
            row["low"], row["high"] = found.low, found.high
        table.append(row)
    return table


def calibration_test(held: HeldOut, seed: int = 0) -> dict[str, Any]:
    """The calibration error against that of a perfectly calibrated model on as many rows.

    Sampling alone makes the error positive: so labels are drawn by the model's own probabilities,
    and the share of such draws with as large an error is the p-value (J. Broecker and L. Smith,
    "Increasing the reliability of reliability diagrams", Weather and Forecasting 22, 2007).

    Returns:
        A JSON object: ece, by_chance (the 95th percentile of the draws), p; empty for a regression
        or without rows.
    """
    if held.target.task == "regression":
        return {}
    said, came, _ = said_and_came(held)
    if not len(said):
        return {}
    bins = equal_mass_bins(said)
    draw = np.random.default_rng(seed)

    def error(truth: np.ndarray) -> float:
        return float(np.abs(np.bincount(bins, truth - said)).sum() / len(said))

    rounds = max(100, min(ROUNDS, 10_000_000 // len(said)))
    drawn = np.array([error(draw.random(len(said)) < said) for _ in range(rounds)])
    found = error(came)
    return {
        "ece": found,
        "by_chance": float(np.quantile(drawn, 0.95)),
        "p": float((1 + (drawn >= found).sum()) / (1 + rounds)),
    }
