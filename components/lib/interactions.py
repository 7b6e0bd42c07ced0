"""Interactions: features made of two numbers of a row, before these are rounded to float32.

They stand behind the features of the columns. One piece of arithmetic makes them, of a table's
columns, of a batch and of a single row, so that all give the same bits.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shipway.components.lib.encoders import ColumnPlan

COMBINED = ("number", "text_number")  # kinds of columns that may take part
_OPERATIONS: dict[str, tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], str]] = {
    "difference": (np.subtract, "-"),
    "product": (np.multiply, "*"),
    "ratio": (np.divide, "/"),
}
OPERATIONS = tuple(_OPERATIONS)

Widen = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Interaction:
    """One feature of two raw columns.

    Attributes:
        name: of the feature.
        columns: the two raw columns, in the order of the operation.
        operation: "difference", "product" or "ratio".
        reason: why it was taken.
    """

    name: str
    columns: list[str]
    operation: str
    reason: str = ""


def interaction_of(first: str, second: str, operation: str) -> Interaction:
    """An interaction with the name that its feature has."""
    return Interaction(f"{first} {_OPERATIONS[operation][1]} {second}", [first, second], operation)


def combine(interaction: Interaction, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The feature of two columns: float64 of their shape, NaN where it is not finite."""
    with np.errstate(all="ignore"):  # a caller may send any numbers
        made = np.asarray(_OPERATIONS[interaction.operation][0](first, second))
    return np.where(np.isfinite(made), made, math.nan)


def places_of(
    columns: Sequence[ColumnPlan], interactions: Sequence[Interaction]
) -> list[tuple[int, int]]:
    """Of each interaction, where the features of its two columns stand."""
    starts, left = {}, 0
    for column in columns:
        starts[column.name] = left
        left += len(column.outputs)
    return [(starts[one.columns[0]], starts[one.columns[1]]) for one in interactions]


def widener(columns: Sequence[ColumnPlan], interactions: Sequence[Interaction]) -> Widen:
    """What puts interactions behind the features of columns.

    Returns:
        A function from float64 of shape (..., k) to float64 of shape (..., k + interactions).
    """
    if not interactions:
        return lambda features: features
    steps = list(zip(interactions, places_of(columns, interactions), strict=True))
    width = sum(len(column.outputs) for column in columns)

    def widen(features: np.ndarray) -> np.ndarray:
        wide = np.empty((*features.shape[:-1], width + len(steps)))
        wide[..., :width] = features
        for place, (interaction, (first, second)) in enumerate(steps, width):
            wide[..., place] = combine(interaction, features[..., first], features[..., second])
        return wide

    return widen
