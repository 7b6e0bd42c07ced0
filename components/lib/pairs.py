"""Features that are made of two raw columns: the age of a date at another, places on the earth.

The cell of the column itself is encoded first, as of any column; what the other cell adds is plain
arithmetic on arrays, of one row or of many, so that both give the same bits.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shipway.components.lib.encoders import ColumnPlan, encoder_of

KM_PER_DEGREE = 111.195  # of latitude
PLACES = ("distance", "northeast", "northwest")


def partner_of(plan: ColumnPlan) -> ColumnPlan:
    """How the other column is read: as one number."""
    if plan.kind == "datetime":
        name = plan.other
        return ColumnPlan(name, "datetime", "string", [name], "", True, parts=["days"])
    return ColumnPlan(plan.other, "number", "number", [plan.other], "", True)


def complete(plan: ColumnPlan, features: np.ndarray, partner: np.ndarray) -> None:
    """Complete the features of a column by what its partner says, in place.

    Args:
        plan: of the column.
        features: float64 of shape (n, len(plan.outputs)), as its encoder makes them.
        partner: of the other column, float64 of shape (n,).
    """
    with np.errstate(all="ignore"):  # degrees of a caller may be any number
        if plan.kind == "datetime":
            features[:, plan.parts.index("age")] -= partner
            return
        latitude, longitude, narrowing = plan.origin
        north = (features[:, 0] - latitude) * KM_PER_DEGREE
        east = (partner - longitude) * (KM_PER_DEGREE * narrowing)
        features[:, 1] = np.sqrt(north * north + east * east)
        features[:, 2] = north + east
        features[:, 3] = north - east


def pair_encoder_of(plan: ColumnPlan) -> Callable[[Any, Any], Sequence[float]]:
    """As `encoder_of`, of the cell and the other column's cell, which may be missing."""
    encode, read = encoder_of(plan), encoder_of(partner_of(plan))

    def encode_pair(cell: Any, other: Any) -> Sequence[float]:
        features = np.array([encode(cell)], dtype=np.float64)
        complete(plan, features, np.array([math.nan] if other is None else read(other)))
        completed: list[float] = features[0].tolist()
        return completed

    return encode_pair
