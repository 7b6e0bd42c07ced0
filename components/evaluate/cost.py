"""What a model costs: bytes, trees, and the time of a single row in this process."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shipway.components.lib.model_package import BOOSTER, ModelPackage
from shipway.components.lib.scoring import Scorer

ASKED = 200


def cost(package: ModelPackage, scorer: Scorer) -> dict[str, Any]:
    """Measure size and speed.

    The latency is that of the model alone: from a raw row to its answer, on one thread, without
    the server and the network. It needs golden rows to ask for, and is None without.

    Returns:
        A JSON object: bytes (of the booster), package_bytes, trees, rounds, features,
        latency_ms_p50 and latency_ms_p95 of single rows.
    """
    files, booster = package.manifest["files"], package.booster
    held = json.loads(booster.save_config())["learner"]["gradient_booster"]
    median, slow = _latency(package, scorer, package.golden.get("rows") or [])
    return {
        "bytes": files[BOOSTER]["bytes"],
        "package_bytes": sum(entry["bytes"] for entry in files.values()),
        "rounds": booster.num_boosted_rounds(),
        "trees": int(held["gbtree_model_param"]["num_trees"]),
        "features": len(scorer.plan.feature_names),
        "latency_ms_p50": median,
        "latency_ms_p95": slow,
    }


def _latency(
    package: ModelPackage, scorer: Scorer, rows: Sequence[Mapping[str, Any]]
) -> tuple[float | None, float | None]:
    if not rows:
        return None, None
    transform = scorer.plan.row_transformer()
    package.booster.set_param({"nthread": 1})
    spent = []
    for index in range(ASKED):
        began = time.perf_counter()
        scorer.score_matrix(transform(rows[index % len(rows)])[None, :])
        spent.append(1_000 * (time.perf_counter() - began))
    package.booster.set_param({"nthread": 0})
    return float(np.quantile(spent, 0.5)), float(np.quantile(spent, 0.95))
