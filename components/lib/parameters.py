"""XGBoost's parameters: the defaults of a run, and what a user may set."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.objectives import COVERAGE, VARIANCE_POWER, objective_of
from shipway.components.lib.response import Response
from shipway.components.lib.task import Target

INTEGERS = {"max_depth", "max_leaves", "max_bin", "num_parallel_tree", "nthread"}
NUMBERS = {
    "eta",
    "gamma",
    "min_child_weight",
    "max_delta_step",
    "subsample",
    "colsample_bytree",
    "colsample_bylevel",
    "colsample_bynode",
    "reg_lambda",
    "reg_alpha",
    "scale_pos_weight",
}
ALIASES = {"learning_rate": "eta", "lambda": "reg_lambda", "alpha": "reg_alpha"}
ROUNDS = {"num_boost_round", "early_stopping_rounds"}
OURS = {"balance_classes", "external_memory", "interval_coverage", "tweedie_variance_power"}
QUALITIES = ("fast", "standard", "best")
ROUNDS_AT_MOST, PATIENCE = 3000, 60
# Larger steps: a few times as fast for a little more loss. `best` trains as `standard` does, on
# each fold of a bag.
FAST = {"eta": 0.1, "max_bin": 256}
FAST_ROUNDS, FAST_PATIENCE = 1000, 20
SMALL = 5_000
LARGE = 200_000


@dataclass(frozen=True)
class Settings:
    """What one training runs with.

    Attributes:
        booster: XGBoost's parameters.
        rounds: trees (per class) at most.
        patience: rounds without a better validation loss before training stops.
        balance: whether all classes weigh alike.
        response: what the margins of a regression mean.
        external: whether training rows stand on disk; None decides by the memory that there is.
    """

    booster: dict[str, Any]
    rounds: int
    patience: int
    balance: bool = False
    response: Response = field(default_factory=Response)
    external: bool | None = None


def settings_for(
    target: Target,
    rows: int,
    given: Mapping[str, float],
    seed: int,
    objective: str = "auto",
    quality: str = "standard",
) -> Settings:
    """Defaults for a task and a number of training rows, with what the user set over them.

    Raises:
        ConfigurationError: a parameter, objective or quality is unknown, or of another type.
    """
    if quality not in QUALITIES:
        raise ConfigurationError(
            f"quality='{quality}' is unknown: it is {', '.join(QUALITIES)}."
            f"{nearest(quality, QUALITIES)}"
        )
    fast = quality == "fast"
    chosen: dict[str, Any] = named(given)
    _check_use(target, objective, chosen)
    rounds = int(chosen.pop("num_boost_round", FAST_ROUNDS if fast else ROUNDS_AT_MOST))
    patience = int(chosen.pop("early_stopping_rounds", FAST_PATIENCE if fast else PATIENCE))
    balance = bool(chosen.pop("balance_classes", 0.0))
    external = bool(chosen.pop("external_memory")) if "external_memory" in chosen else None
    coverage = chosen.pop("interval_coverage", COVERAGE)
    power = chosen.pop("tweedie_variance_power", VARIANCE_POWER)
    loss, response = objective_of(target, objective, coverage, power)
    if target.ranked:
        _check_ranking(external, quality)
    own = _defaults(rows, seed) | (_of_ranking(rows) if target.ranked else {})
    booster = {**loss, **own, **(FAST if fast else {}), **chosen}
    return Settings(booster, rounds, patience, balance, response, external)


def few_threads(rows: int) -> dict[str, int]:
    """One thread for so few rows: more would wait for each other longer than they work.

    It is no default of `settings_for`: what tuning is told of threads are the user's wishes.
    """
    return {"nthread": 1} if rows < SMALL else {}


def named(given: Mapping[str, float]) -> dict[str, float | int]:
    """Parameters that a user set, by the one name that each of them has here, in its type.

    Raises:
        ConfigurationError: one is unknown, of another type, or set by two names.
    """
    names = INTEGERS | NUMBERS | ROUNDS | OURS
    found: dict[str, float | int] = {}
    for name, value in given.items():
        known = ALIASES.get(name, name)
        if known not in names:
            raise ConfigurationError(
                f"training_parameters has '{name}', which is no parameter that can be set."
                f"{nearest(name, names | set(ALIASES))} It takes {', '.join(sorted(names))}."
            )
        if known in found:
            raise ConfigurationError(
                f"training_parameters sets '{known}' twice, once as '{name}'. Leave one out."
            )
        found[known] = _typed(known, value)
    return found


def _check_use(target: Target, objective: str, given: Mapping[str, float]) -> None:
    """Refuse what would be passed over: it is of another objective or task."""
    for name, used, rule in (
        ("interval_coverage", objective == "quantile", "objective='quantile'"),
        ("tweedie_variance_power", objective == "tweedie", "objective='tweedie'"),
        ("balance_classes", not target.kind.numeric, "a classification"),
        ("scale_pos_weight", target.task == "binary", "task='binary'"),
    ):
        if given.get(name) and not used:
            raise ConfigurationError(
                f"training_parameters has '{name}', which is for {rule}; this is a {target.task} "
                f"task with objective='{objective}'. Leave it out, or change the other."
            )


def _check_ranking(external: bool | None, quality: str) -> None:
    """Refuse what a ranking cannot be trained with."""
    for wanted, setting, reason, cure in (
        (external, "external_memory", "a query may not be torn apart by a batch", "Leave it out"),
        (quality == "best", "quality='best'", "a bag trains its members without queries",
         "Use quality='standard'"),
    ):  # fmt: skip
        if wanted:
            raise ConfigurationError(f"task='ranking' takes no {setting}: {reason}. {cure}.")


def _of_ranking(rows: int) -> dict[str, Any]:
    # The gradient of a pair is at most 1 and its second derivative 1/4, most are far less: leaves
    # weigh little, and small steps would need thousands of rounds.
    return {"eta": 0.1, "min_child_weight": 0.1, "max_depth": 4 if rows < SMALL else 6}


def _typed(name: str, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"training_parameters: '{name}' must be a number, not {value!r}.")
    if not math.isfinite(value):
        raise ConfigurationError(f"training_parameters: '{name}' must be finite, not {value!r}.")
    if name in NUMBERS | OURS:
        return float(value)
    if float(value) != int(value):  # KFP hands every number over as a float
        raise ConfigurationError(f"training_parameters: '{name}' must be whole, not {value!r}.")
    if name in ROUNDS and value < 1:
        raise ConfigurationError(f"training_parameters: '{name}' must be 1 or more, not {value:g}.")
    return int(value)


def _defaults(rows: int, seed: int) -> dict[str, Any]:
    small = rows < SMALL
    return {
        "tree_method": "hist",
        "eta": 0.03,
        "max_depth": 4 if small else 7,
        "min_child_weight": 1.0 if small else 10.0,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "reg_lambda": 2.0,
        # Finer cuts are worth their memory while the table is small.
        "max_bin": 1024 if rows < LARGE else 256,
        "seed": seed,
    }
