"""The KFP face of the feature plan."""

from typing import Dict, List

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from shipway.components.lib.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def fit_features(
    train: Input[Dataset],
    validation: Input[Dataset],
    label: str,
    schema: Input[Artifact],
    plan: Output[Artifact],
    report: Output[HTML],
    task: str = "auto",
    time_column: str = "",
    group_column: str = "",
    weight_column: str = "",
    seed: int = 0,
    features_uri: str = "",
    feature_selection: str = "none",
    monotone_constraints: Dict[str, float] = {},
    interaction_constraints: List[List[str]] = [],
):
    """Decide what becomes of each raw column: fitted on training rows, chosen on validation rows.

    Args:
        train: Training rows.
        validation: Rows that select columns and confirm features of two columns.
        label: Column to predict.
        schema: Schema of the table; kinds of columns in a reviewed one overrule the guess.
        task: auto, binary, multiclass, regression or ranking (by group_column).
        time_column: Column that orders rows in time.
        group_column: Column that groups rows; not a feature.
        weight_column: Column that weighs rows in training; not a feature.
        seed: Seed of the out-of-fold statistics.
        features_uri: File of kinds by column (features.yaml), or its text.
        feature_selection: none, or shadow: drop columns that tell no more than shuffled ones.
        monotone_constraints: As of training; such columns take no part in features of two columns.
        interaction_constraints: As of training; where given, there are no features of two columns.

    Returns:
        plan: Feature plan, JSON.
        report: Each raw column, what becomes of it, and why.
    """
    from pathlib import Path

    from shipway.components.features.logic import fit
    from shipway.components.lib.constraints import Constraints

    fit(
        Path(train.path), label, Path(plan.path), Path(report.path), task, seed,
        time_column=time_column, group_column=group_column, weight_column=weight_column,
        schema=Path(schema.path), features_uri=features_uri,
        validation=Path(validation.path), feature_selection=feature_selection,
        constraints=Constraints(monotone_constraints, interaction_constraints),
    )  # fmt: skip
