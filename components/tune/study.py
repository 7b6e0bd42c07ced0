"""What a tuning found, as a file and as metadata."""

from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from shipway.components.lib.losses import shown
from shipway.components.lib.parameters import Settings
from shipway.components.tune.choice import Difference, Finalist, gain
from shipway.components.tune.folds import Folds
from shipway.components.tune.search import loss_of, parameters_of
from shipway.components.tune.space import Space


@dataclass(frozen=True)
class Study:
    """A finished tuning.

    Attributes:
        parameters: for `train_model`.
        settings: of the defaults.
        space: what was searched.
        folds: how trials were judged.
        sample: rows that each trial trained on.
        trials: that ended, by number.
        finalists: candidates that were trained on all rows.
        chosen: of them; None where none was.
        seconds: that all of it took.
        budget: seconds that it was given.
        jobs: trials at a time.
        interrupted: whether it was told to end.
    """

    parameters: dict[str, float]
    settings: Settings
    space: Space
    folds: Folds
    sample: int
    trials: list[FrozenTrial]
    finalists: list[Finalist]
    chosen: Finalist | None
    seconds: float
    budget: float
    jobs: int
    interrupted: bool

    @property
    def metric(self) -> str:
        """The loss that is minimised, as XGBoost names it."""
        return str(self.settings.booster["eval_metric"])

    @property
    def defaults(self) -> Finalist | None:
        """The defaults on all rows, where there was time for them."""
        return next((one for one in self.finalists if not one.parameters), None)

    @property
    def bought(self) -> Difference | None:
        """How much less the choice loses than the defaults."""
        if self.chosen is None or self.defaults is None:
            return None
        return gain(self.chosen.result, self.defaults.result)

    @property
    def verdict(self) -> str:
        """One sentence of what came out."""
        if self.chosen is None:
            if not self.trials:
                return "No trial ended within the budget: the parameters are as they were given."
            return (
                "No candidate was trained on all rows within the budget: the best of the search is "
                "taken, be it the defaults."
            )
        loss = f"{self.metric} {self.loss(self.chosen.result.loss):.5g}"
        if self.chosen is self.defaults:
            return f"The defaults stand ({loss}): nothing surely beats them."
        if self.bought is None or self.defaults is None:
            return f"{self.chosen.name.capitalize()} is taken ({loss})."
        before = self.loss(self.defaults.result.loss)
        sure = "more" if self.bought.value > 2 * self.bought.error else "no more"
        return (
            f"{self.chosen.name.capitalize()} is taken: {loss}, and {before:.5g} by the defaults, "
            f"a difference of {sure} than two standard errors."
        )

    def loss(self, value: float) -> float:
        """A mean loss in the metric's unit."""
        return shown(self.settings.booster, value)

    def metadata(self) -> dict[str, str | float]:
        """Flat facts for KFP."""
        found: dict[str, str | float] = {
            "tuned": "yes",
            "judged_by": self.folds.scheme,
            "trials": float(len(self.trials)),
            "tuning_seconds": round(self.seconds, 1),
            "verdict": self.verdict,
        }
        if self.chosen is not None:
            found[self.metric] = self.loss(self.chosen.result.loss)
        if self.defaults is not None:
            found[f"{self.metric}_of_defaults"] = self.loss(self.defaults.result.loss)
        return found

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "tuned": True,
            "parameters": self.parameters,
            "verdict": self.verdict,
            "metric": self.metric,
            "judged_by": self.folds.scheme,
            "folds": len(self.folds.folds),
            "sample_rows": self.sample,
            "space": {name: one.to_json() for name, one in self.space.ranges.items()},
            "eta": {"search": self.space.eta, "final": self.space.final_eta},
            "seconds": round(self.seconds, 1),
            "budget_seconds": self.budget,
            "parallel_trials": self.jobs,
            "interrupted": self.interrupted,
            "trials": [self._trial(trial) for trial in self.trials],
            "finalists": [self._finalist(one) for one in self.finalists],
            "chosen": self.chosen.name if self.chosen else None,
        }

    def _trial(self, trial: FrozenTrial) -> dict[str, Any]:
        facts = ("rounds", "leaves", "seconds")
        loss = loss_of(trial)
        return {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "loss": None if loss is None else self.loss(loss),
            "parameters": parameters_of(trial),
            **{name: trial.user_attrs.get(name) for name in facts},
        }

    def _finalist(self, one: Finalist) -> dict[str, Any]:
        return {
            "name": one.name,
            "parameters": one.parameters,
            "loss": self.loss(one.result.loss),
            "rounds": one.result.rounds,
            "leaves": one.result.leaves,
            "seconds": round(one.result.seconds, 2),
        }
