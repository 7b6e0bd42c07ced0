"""XGBoost's settings, of what a training or a tuning is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from shipway.components.lib.constraints import Constraints, constraint_parameters
from shipway.components.lib.devices import chosen_device
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.parameters import Settings, settings_for


class Asked(Protocol):
    """What both are asked for."""

    @property
    def parameters(self) -> Mapping[str, float]:
        """XGBoost's, by name."""

    @property
    def seed(self) -> int:
        """Of everything that draws."""

    @property
    def objective(self) -> str:
        """auto, or one of a regression."""

    @property
    def quality(self) -> str:
        """fast, standard or best."""

    @property
    def device(self) -> str:
        """cpu, cuda or auto."""

    @property
    def monotone_constraints(self) -> Mapping[str, float]:
        """1 or -1, by raw column."""

    @property
    def interaction_constraints(self) -> Sequence[Sequence[str]]:
        """Groups of raw columns that may act together."""


def settings_of(plan: FeaturePlan, rows: int, asked: Asked) -> tuple[Settings, str]:
    """The settings, and why the CPU trains where a GPU was asked for.

    Args:
        plan: the feature plan.
        rows: of training.
        asked: by the user.

    Raises:
        ConfigurationError: a parameter, a constraint or the device is not known.
    """
    found = settings_for(
        plan.target, rows, asked.parameters, asked.seed, asked.objective, asked.quality
    )
    limits = Constraints(asked.monotone_constraints, asked.interaction_constraints)
    device, reason = chosen_device(asked.device)
    bound = constraint_parameters(plan, limits, found.booster["objective"])
    return replace(found, booster=found.booster | bound | {"device": device}), reason
