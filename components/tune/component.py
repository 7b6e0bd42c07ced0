"""The KFP face of tuning."""

from typing import Dict, List

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from shipway.components.lib.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def tune_model(
    train: Input[Dataset],
    validation: Input[Dataset],
    plan: Input[Artifact],
    study: Output[Artifact],
    report: Output[HTML],
    time_budget_seconds: int = 0,
    trial_budget: int = 0,
    parallel_trials: int = 0,
    parameters: Dict[str, float] = {},
    objective: str = "auto",
    device: str = "cpu",
    monotone_constraints: Dict[str, float] = {},
    interaction_constraints: List[List[str]] = [],
    time_column: str = "",
    journal_directory: str = "",
    quality: str = "standard",
    tuner: str = "optuna",
    seed: int = 0,
) -> Dict[str, float]:
    """Search XGBoost's parameters within a budget; with none, pass on what was given.

    Args:
        train: Training rows.
        validation: Rows that judge.
        plan: Feature plan fitted on the training rows.
        time_budget_seconds: Seconds to search at most; 0 does not search.
        trial_budget: Trials at most; 0 leaves the end to the time; of Katib 200.
        parallel_trials: Trials at a time; 0 as cores allow, 1 repeats exactly.
        parameters: XGBoost parameters by name that are set and not searched.
        objective: auto; of a regression squared, absolute, quantile, poisson, tweedie or gamma.
        device: cpu, cuda or auto.
        monotone_constraints: 1 or -1 by column: predictions may only rise or fall with it.
        interaction_constraints: Groups of columns that may act together.
        time_column: Column that orders rows in time; empty where order does not matter.
        journal_directory: Where a killed search goes on from, such as a mounted volume.
        quality: That of the training, whose defaults the search starts from.
        tuner: optuna, within this step; or katib, whose trials are pods.
        seed: Seed of everything that draws.

    Returns:
        Output: XGBoost parameters by name, for training.
        study: Trials, candidates and choice, JSON.
        report: History, importances, and what the budget bought.
    """
    from pathlib import Path

    from shipway.components.tune.logic import tune as run
    from shipway.components.tune.request import Request

    constraints = monotone_constraints, interaction_constraints
    budget = time_budget_seconds, trial_budget, parallel_trials
    more = time_column, quality, tuner
    request = Request(parameters, *budget, seed, objective, device, *constraints, *more)
    tables = Path(train.path), Path(validation.path), Path(plan.path)
    journal = Path(journal_directory or Path(study.path).parent) / "tuning.journal"
    artifacts = {"train": train, "validation": validation, "plan": plan, "study": study}
    uris = {name: artifact.uri for name, artifact in artifacts.items()}
    result = run(*tables, Path(study.path), Path(report.path), request, journal, uris)
    study.metadata.update(result.metadata)
    return result.parameters
