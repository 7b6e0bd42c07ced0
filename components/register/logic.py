"""Registration: only what the gate let pass, only what is whole, and only once."""

import logging
from pathlib import Path

from shipway.components.lib.decision import Decision
from shipway.components.lib.errors import StoreError
from shipway.components.lib.model_store import open_store

_log = logging.getLogger(__name__)


def register(
    model: Path, evaluation: Path, decision: Path, model_name: str, model_store: str
) -> str:
    """Add a model package to a store.

    Returns:
        The version; that of the first time when the same package is registered again.

    Raises:
        ModelPackageError: the package is not whole.
        StoreError: the gate did not let the model pass, or the store fails.
    """
    decided = Decision.load(decision)
    if decided.gate != "model" or decided.verdict != "pass":
        reason = decided.failures[0].sentence if decided.failures else "it holds no rule"
        raise StoreError(
            f"'{model_name}' is not registered: its decision is '{decided.verdict}' of the gate "
            f"'{decided.gate}' ({reason}). Only a model that the model gate blessed is kept."
        )
    files = {"evaluation.json": evaluation, "decision.json": decision}
    version = open_store(model_store).register(model_name, model, files)
    _log.info("registered %s as version %s in %s", model_name, version, model_store)
    return version
