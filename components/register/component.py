"""The KFP face of registration."""

from typing import Dict

from kfp import dsl
from kfp.dsl import Artifact, Input, Model

from shipway.components.lib.images import SERVE


@dsl.component(base_image=SERVE, install_kfp_package=False)
def register_model(
    model: Input[Model],
    evaluation: Input[Artifact],
    decision: Input[Artifact],
    card: Input[Artifact],
    model_name: str,
    model_store: str,
    registries: Dict[str, str] = {},
) -> str:
    """Add a blessed model to the model store; the same model is added once.

    Args:
        model: Model package.
        evaluation: Its evaluation, kept beside it.
        decision: The gate's decision; it must be a pass.
        card: Its model card, kept beside it.
        model_name: Name of the model.
        model_store: Directory, gs:// or s3:// prefix of the store.
        registries: URLs to tell of the version, by kind: mlflow, kubeflow.

    Returns:
        Output: The version.
    """
    from pathlib import Path

    from shipway.components.register.logic import register

    paths = Path(model.path), Path(evaluation.path), Path(decision.path)
    return register(*paths, model_name, model_store, registries, card=Path(card.path))
