"""How the margins of a regression become values, and the interval around them.

Quantiles of one row that cross are put in order: V. Chernozhukov, I. Fernandez-Val, A. Galichon,
"Quantile and probability curves without crossing", Econometrica 78(3), 2010. The interval is then
widened until it held the stated share of validation rows: Y. Romano, E. Patterson, E. Candes,
"Conformalized quantile regression", NeurIPS 2019.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Response:
    """From margins to values.

    Attributes:
        link: "identity", or "log" where margins are logarithms of the value.
        coverage: share of rows whose value lies within the interval; 0.0 where there is none.
        widening: what the interval's ends are moved outwards by, in the label's unit.
    """

    link: str = "identity"
    coverage: float = 0.0
    widening: float = 0.0

    @property
    def levels(self) -> list[float]:
        """The quantiles that the margins are, in ascending order; the middle one is the value."""
        tail = (1 - self.coverage) / 2
        return [tail, 0.5, 1 - tail] if self.coverage else []

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Response":
        """The inverse of `to_json`; an empty object is a plain regression."""
        return cls(**value)

    def apply(self, margins: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Values, and the ends of their intervals where there are some.

        Args:
            margins: float64 of shape (n,), or (n, 3) for quantiles.

        Returns:
            float64 of shape (n,), and float64 of shape (n, 2) or None; each row depends on its own
            margins only.
        """
        if self.link == "log":
            return np.exp(np.minimum(margins, 700.0)), None  # beyond, there is no double
        if not self.coverage:
            return margins, None
        ordered = np.sort(margins, axis=1)
        values = np.ascontiguousarray(ordered[:, 1])
        interval = np.empty((len(values), 2))
        # The ends may move inwards too, but never past the value.
        np.minimum(ordered[:, 0] - self.widening, values, out=interval[:, 0])
        np.maximum(ordered[:, 2] + self.widening, values, out=interval[:, 1])
        return values, interval


def widening_for(interval: np.ndarray, y: np.ndarray, coverage: float) -> float:
    """What to widen intervals by, so that they hold a share of rows like these.

    Args:
        interval: of rows that the trees were not fitted on, shape (n, 2), not widened.
        y: their labels, shape (n,).
        coverage: the share.

    Returns:
        In the label's unit; negative where the intervals are wider than they need to be, infinite
        where the rows are too few to tell.
    """
    outside = np.maximum(interval[:, 0] - y, y - interval[:, 1])
    place = math.ceil((len(y) + 1) * coverage)
    return float(np.sort(outside)[place - 1]) if 0 < place <= len(y) else math.inf
