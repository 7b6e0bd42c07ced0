"""The models that are served: 30 columns, all numbers or 8 of them categories."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb

from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.labels import resolve_target
from shipway.components.lib.model_package import write_package
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import to_rows

TRAINED_BY = "2.1.4"
ROWS, COLUMNS, CATEGORICAL, CATEGORIES = 20_000, 30, 8, 12
ASKED = 1000


@dataclass(frozen=True)
class Model:
    """A model on disk, rows to ask it for, and what it must answer.

    Attributes:
        booster: the UBJ file that the peers load.
        package: the model package that our server loads.
        rows: raw rows as JSON objects.
        expected: the probability of class 1, of each row.
    """

    booster: Path
    package: Path
    rows: list[dict[str, Any]]
    expected: np.ndarray


def make_model(kind: str, root: Path, old_python: Path) -> Model:
    """Make a model, or find its trees from the last run.

    Args:
        kind: "numeric" or "categorical".
        root: where models are kept.
        old_python: of an environment with the XGBoost that trains.
    """
    table, labels = _table(CATEGORICAL if kind == "categorical" else 0)
    target = resolve_target(pa.chunked_array([pa.array(labels)]), "binary")
    plan = fit_plan(table.append_column("label", pa.array(labels)), "label", target)
    booster_path = root / f"{kind}.ubj"
    if not booster_path.exists():
        matrix = plan.transform_training(table.append_column("label", pa.array(labels)))
        _train(np.asarray(matrix), labels, booster_path, old_python)
    booster = xgb.Booster(params={"nthread": 1}, model_file=booster_path)
    calibrator = Calibrator().to_json()
    signature = signature_of(plan, "bench", 0.5, calibrator, TRAINED_BY)
    scorer = Scorer(booster, signature)
    asked = table.slice(0, ASKED)
    prediction = scorer.score_table(asked)
    assert prediction.probabilities is not None
    rows, package = to_rows(asked), root / kind
    write_package(package, booster, signature, rows[:20], scorer.outputs(prediction)[:20], {}, {})
    return Model(booster_path, package, rows, prediction.probabilities[:, 1])


def _table(categorical: int) -> tuple[pa.Table, np.ndarray]:
    draw = np.random.default_rng(5)
    numbers = draw.normal(size=(ROWS, COLUMNS)).round(6)
    weights = draw.normal(size=COLUMNS)
    score = numbers @ weights + 2.0 * numbers[:, 0] * numbers[:, 1] + np.sin(3 * numbers[:, 2])
    columns: dict[str, Any] = {}
    for index in range(COLUMNS):
        if index >= COLUMNS - categorical:
            codes = np.clip((numbers[:, index] + 3) * CATEGORIES / 6, 0, CATEGORIES - 1)
            columns[f"f{index:02d}"] = [f"kind {code}" for code in codes.astype(int)]
        else:
            columns[f"f{index:02d}"] = numbers[:, index]
    labels = (score + draw.normal(0.0, 2.0, ROWS) > 0).astype(np.int64)
    return pa.table(columns), labels


def _train(matrix: np.ndarray, labels: np.ndarray, path: Path, python: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    features, targets = path.with_suffix(".x.npy"), path.with_suffix(".y.npy")
    np.save(features, matrix)
    np.save(targets, labels)
    script, draft = Path(__file__).with_name("train_booster.py"), path.with_suffix(".draft.ubj")
    subprocess.run([python, script, features, targets, draft], check=True)
    draft.rename(path)
    features.unlink()
    targets.unlink()
