"""Small tables to tune on, quick searches, and what they came to."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.features.logic import fit
from shipway.components.lib.tables import write_table
from shipway.components.tune.logic import Tuned, tune
from shipway.components.tune.request import Request

FIXED = {"num_boost_round": 12.0, "early_stopping_rounds": 5.0, "eta": 0.3, "nthread": 1.0}
FIXED |= {"max_bin": 32.0}
QUICK = Request(FIXED, seconds=120, trials=3, jobs=1)


def table(label: str, rows: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    x, z = draw.normal(size=(2, rows))
    score = x * (z > 0) + draw.normal(scale=0.5, size=rows)
    labels = {
        "binary": np.where(score > 0, "yes", "no"),
        "multiclass": np.array(["low", "mid", "top"])[np.digitize(score, [-0.5, 0.7])],
        "regression": 100 + 20 * score,
        "noise": draw.permutation(np.where(score > 0, "yes", "no")),
    }
    return pa.table(
        {
            "x": x,
            "z": z,
            "shop": [f"shop {i}" for i in draw.integers(0, rows // 3, rows)],
            "label": labels[label],
            "when": draw.permutation(rows).astype(float),
        }
    )


def place(path: Path, label: str = "binary", rows: int = 300) -> Path:
    path.mkdir(exist_ok=True)
    write_table(table(label, rows, 0), path / "train")
    write_table(table(label, rows // 2, 1), path / "validation")
    fit(path / "train", "label", path / "plan", path / "features.html")
    return path


def run(path: Path, request: Request = QUICK) -> Tuned:
    inputs = path / "train", path / "validation", path / "plan"
    return tune(*inputs, path / "study", path / "study.html", request, path / "study.journal")


def study_of(path: Path) -> dict:
    return json.loads((path / "study").read_text())


def found(path: Path) -> list[tuple]:
    """What a study came to, without its times."""
    trials = study_of(path)["trials"]
    return [(t["state"], t["loss"], t["rounds"], sorted(t["parameters"].items())) for t in trials]
