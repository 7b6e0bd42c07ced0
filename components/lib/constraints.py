"""What trees may not do, said by raw column and told to XGBoost by feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.features import FeaturePlan

ORDERED = ("number", "text_number", "boolean", "ordered", "duration")
# Objectives under which XGBoost takes signs and does not keep to them.
TURNING = {
    "reg:absoluteerror": "its leaves are set anew after the splits were chosen",
    "reg:quantileerror": "its leaves are set anew after the splits were chosen",
    "multi:softprob": "the probability of a class hangs on the scores of the others, too",
}


@dataclass(frozen=True)
class Constraints:
    """What the trees may not do.

    Attributes:
        monotone: 1 (may only rise with the column) or -1 (only fall), by raw column.
        interaction: groups of raw columns; a path of a tree stays within one of them.
    """

    monotone: Mapping[str, float] = field(default_factory=dict)
    interaction: Sequence[Sequence[str]] = field(default_factory=list)


def safe_names(plan: FeaturePlan) -> list[str]:
    """Names of the features for XGBoost, which refuses some signs; the plan keeps the true ones."""
    return [f"f{index}" for index in range(len(plan.feature_names))]


def may_interact(constraints: Constraints, first: str, second: str) -> bool:
    """Whether a feature of two raw columns leaves trees no way round a constraint."""
    return not constraints.interaction and constraints.monotone.keys().isdisjoint((first, second))


def constraint_parameters(
    plan: FeaturePlan, constraints: Constraints, objective: str
) -> dict[str, Any]:
    """XGBoost's parameters of constraints that are given by raw column.

    Args:
        plan: knows the features of a column.
        constraints: by raw column.
        objective: XGBoost's name of it.

    Raises:
        ConfigurationError: a column is not used, or has no order that could be held to, or the
            objective holds to none.
    """
    found: dict[str, Any] = {}
    columns = {column.name: column for column in plan.columns}
    why = {column.name: column.reason for column in plan.dropped}
    for name in [
        *constraints.monotone,
        *(one for group in constraints.interaction for one in group),
    ]:
        if name not in columns:
            told = f" ({why[name]})" if name in why else ""
            raise ConfigurationError(
                f"A constraint names '{name}', which is no column that the model uses{told}."
                f"{nearest(name, columns)} Name one that it uses, or take it out."
            )
    for one in plan.interactions:
        if not may_interact(constraints, *one.columns):
            raise ConfigurationError(
                f"The plan has the feature '{one.name}', by which trees could go round the "
                "constraints. Run fit_features again, with the same constraints."
            )
    if constraints.monotone:
        found["monotone_constraints"] = _signs(plan, constraints.monotone, objective)
    if constraints.interaction:
        names = iter(safe_names(plan))
        features = {
            column.name: list(islice(names, len(column.outputs))) for column in plan.columns
        }
        found["interaction_constraints"] = [
            [feature for name in group for feature in features[name]]
            for group in constraints.interaction
        ]
    return found


def _signs(plan: FeaturePlan, monotone: Mapping[str, float], objective: str) -> tuple[int, ...]:
    """1, -1 or 0 by feature."""
    if objective in TURNING:
        raise ConfigurationError(
            f"monotone_constraints do not hold with XGBoost's '{objective}': {TURNING[objective]}. "
            "Leave them out, or choose another objective or task."
        )
    signs: list[int] = []
    for column in plan.columns:
        sign = monotone.get(column.name, 0)
        if sign not in (-1, 0, 1):
            raise ConfigurationError(
                f"monotone_constraints: '{column.name}' must be 1 or -1, not {sign:g}."
            )
        if sign and column.kind not in ORDERED:
            raise ConfigurationError(
                f"monotone_constraints names '{column.name}', which is used as {column.kind}: "
                "only numbers can be held to an order. Leave it out."
            )
        signs += [int(sign)] * len(column.outputs)
    return tuple(signs + [0] * len(plan.interactions))
