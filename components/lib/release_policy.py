"""How a candidate takes over: shares of traffic, and what it must keep to while it bakes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from shipway.components.lib.errors import ConfigurationError


@dataclass(frozen=True)
class ReleasePolicy:
    """The steps of a release and their bounds.

    Attributes:
        traffic_steps: shares of the traffic in percent, rising, the last one 100.
        bake_seconds: to watch the candidate at each step.
        maximum_error_rate: share of the watch's requests that may fail.
        maximum_latency_ms: bound on their 95th percentile; 0 for none.
    """

    traffic_steps: tuple[int, ...] = (100,)
    bake_seconds: float = 0.0
    maximum_error_rate: float = 0.0
    maximum_latency_ms: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigurationError: a step or a bound is out of range.
        """
        traffic_steps_of(self.traffic_steps)
        if self.bake_seconds < 0:
            raise ConfigurationError(f"bake_seconds={self.bake_seconds:g} is below 0.")
        if not 0 <= self.maximum_error_rate < 1:
            raise ConfigurationError(
                f"maximum_error_rate={self.maximum_error_rate:g} is a share: 0 to below 1."
            )


def traffic_steps_of(values: Sequence[float]) -> tuple[int, ...]:
    """Steps as a pipeline gives them, where a whole number may come as 10.0.

    Raises:
        ConfigurationError: they are not whole percents that rise to 100.
    """
    steps = tuple(round(value) for value in values)
    rising = all(low < high for low, high in itertools.pairwise(steps))
    if not steps or steps != tuple(values) or not rising or steps[0] < 0 or steps[-1] != 100:
        raise ConfigurationError(
            f"traffic_steps={list(values)} must be whole percents that rise to 100, such as "
            "[10, 50, 100]; [100] changes over at once."
        )
    return steps
