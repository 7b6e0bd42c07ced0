"""What to tune, and the budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shipway.components.lib.errors import ConfigurationError, nearest

TUNERS = ("optuna", "katib")


@dataclass(frozen=True)
class Request:
    """What to tune.

    Attributes:
        parameters: XGBoost's, by name, that are set and not searched.
        seconds: of the clock at most; 0 does not tune.
        trials: at most; 0 leaves the end to the time, or to when no better ones come.
        jobs: trials at a time; 0 as cores allow. Only 1 gives one result for one seed.
        seed: of everything that draws.
        objective: auto, or one of a regression.
        device: cpu, cuda or auto.
        monotone_constraints: 1 or -1, by raw column.
        interaction_constraints: groups of raw columns that may act together.
        time_column: orders rows in time; empty where order does not matter.
        quality: that the model is then trained with.
        tuner: optuna, or katib on a cluster.
    """

    parameters: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0
    trials: int = 0
    jobs: int = 0
    seed: int = 0
    objective: str = "auto"
    device: str = "cpu"
    monotone_constraints: Mapping[str, float] = field(default_factory=dict)
    interaction_constraints: Sequence[Sequence[str]] = field(default_factory=list)
    time_column: str = ""
    quality: str = "standard"
    tuner: str = "optuna"

    def __post_init__(self) -> None:
        """Refuse a negative budget, an unknown tuner, and a cluster that is given no time.

        Raises:
            ConfigurationError: there is one.
        """
        if self.tuner not in TUNERS:
            raise ConfigurationError(
                f"tuner='{self.tuner}' is unknown: it is {' or '.join(TUNERS)}."
                f"{nearest(self.tuner, TUNERS)}"
            )
        for name, value in (
            ("time_budget_seconds", self.seconds),
            ("trial_budget", self.trials),
            ("parallel_trials", self.jobs),
        ):
            if value < 0:
                raise ConfigurationError(f"{name} must be 0 or more, not {value}.")
        if self.tuner == "katib" and not self.seconds:
            raise ConfigurationError(
                "tuner=katib searches, but time_budget_seconds, the pipeline's tuning_seconds, is "
                "0, which does not search. Set it above 0, such as tuning_seconds=1800, or leave "
                "tuner out."
            )
