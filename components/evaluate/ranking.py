"""What a binary model's order of the rows is worth: lift, gain, and what each threshold brings."""

from itertools import pairwise
from typing import Any

import numpy as np

from shipway.components.lib.proportions import share

TENTHS = 10
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def lift_table(truth: np.ndarray, score: np.ndarray) -> list[dict[str, float]]:
    """Tenths of the rows, the highest scores first.

    Args:
        truth: 1 for the positive class, 0 else; shape (n,).
        score: shape (n,).

    Returns:
        One row a tenth: share (of the rows so far), n, positives, rate with low and high, lift
        (its rate over that of all rows), gain (share of all positives so far). Empty where there
        is no positive row.
    """
    total = int(truth.sum())
    if not total or len(truth) < TENTHS:
        return []
    # Equal scores have no order: that of the rows may be one by the label.
    ordered = truth[np.lexsort((np.random.default_rng(0).random(len(score)), -score))]
    ends = np.linspace(0, len(ordered), TENTHS + 1).astype(int)
    overall = total / len(ordered)
    table = []
    for start, end in pairwise(ends):
        rate = share(int(ordered[start:end].sum()), int(end - start))
        table.append(
            {
                "share": float(end / len(ordered)),
                "n": float(rate.n),
                "positives": float(rate.hits),
                "rate": rate.value,
                "low": rate.low,
                "high": rate.high,
                "lift": rate.value / overall,
                "gain": float(ordered[:end].sum() / total),
            }
        )
    return table


def threshold_table(
    truth: np.ndarray, score: np.ndarray, chosen: float | None
) -> list[dict[str, Any]]:
    """What each threshold brings: how many rows it picks, and how right it is.

    Args:
        truth: 1 for the positive class, 0 else; shape (n,).
        score: shape (n,).
        chosen: the model's own threshold, which is a row of the table.
    """
    cuts = sorted({*THRESHOLDS, *([] if chosen is None else [chosen])})
    positives = int(truth.sum())
    table = []
    for cut in cuts:
        picked = score >= cut
        hits = int(truth[picked].sum())
        precision = share(hits, int(picked.sum()))
        recall = share(hits, positives)
        false = share(int(picked.sum()) - hits, len(truth) - positives)
        told = int(picked.sum()) + positives
        row: dict[str, Any] = {
            "threshold": cut,
            "chosen": cut == chosen,
            "picked": float(picked.mean()),
        }
        for name, found in (("precision", precision), ("recall", recall), ("fpr", false)):
            known = found.n > 0
            row |= {name: found.value if known else None}
            row |= {f"{name}_low": found.low, f"{name}_high": found.high} if known else {}
        table.append(row | {"f1": 2 * hits / told if told else None})
    return table
