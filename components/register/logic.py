"""Registration: only what the gate let pass, only what is whole, and only once."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

from shipway.components.lib.decision import Decision
from shipway.components.lib.errors import StoreError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.model_store import open_store
from shipway.components.register.entry import Entry
from shipway.components.register.registries import check, hand_over

_log = logging.getLogger(__name__)


def register(
    model: Path,
    evaluation: Path,
    decision: Path,
    model_name: str,
    model_store: str,
    registries: Mapping[str, str] | None = None,
    *,
    card: Path | None = None,
) -> str:
    """Add a model package to a store, and tell the registries of it.

    Returns:
        The version; that of the first time when the same package is registered again.

    Raises:
        ConfigurationError: a registry is unknown or cannot be told.
        ModelPackageError: the package is not whole.
        StoreError: the gate did not let the model pass, or the store or a registry fails.
    """
    check(registries or {}, model_store)
    decided = Decision.load(decision)
    if decided.gate != "model" or decided.verdict != "pass":
        reason = decided.failures[0].sentence if decided.failures else "it holds no rule"
        raise StoreError(
            f"'{model_name}' is not registered: its decision is '{decided.verdict}' of the gate "
            f"'{decided.gate}' ({reason}). Only a model that the model gate blessed is kept."
        )
    files = {"evaluation.json": evaluation, "decision.json": decision}
    files |= {} if card is None else {"card.json": card}
    store = open_store(model_store)
    version = store.register(model_name, model, files)
    _log.info("registered %s as version %s in %s", model_name, version, model_store)
    if registries:
        digest, uri = sha256_of(model / "manifest.json"), store.uri(model_name, version)
        hand_over(Entry(model_name, version, uri, digest, metrics_of(evaluation)), registries)
    return version


def metrics_of(evaluation: Path) -> dict[str, float]:
    """The finite metrics of an evaluation; none where it holds none."""
    try:
        found = json.loads(evaluation.read_text(encoding="utf-8"))["metrics"]
        values = {name: float(metric["value"]) for name, metric in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: value for name, value in values.items() if math.isfinite(value)}
