"""An AutoML peer at work, in its own environment, where only what it installs is there.

Each line of the input names a folder with train.parquet, test.parquet and request.json; answers.npy
and facts.json are written beside them, and a line says so. One process for all, as imports are slow
and no part of the time.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FLAML_METRICS = {"auc": "roc_auc", "rmse": "rmse", "log_loss": "log_loss"}
AUTOGLUON_METRICS = {"auc": "roc_auc", "rmse": "root_mean_squared_error", "log_loss": "log_loss"}
LONG = 240.0


def flaml(
    train: pd.DataFrame, test: pd.DataFrame, request: dict[str, Any]
) -> tuple[np.ndarray, float, str]:
    """FLAML's search over its own estimators; it is told where rows are ordered in time."""
    from flaml import AutoML

    label, regression = request["label"], request["task"] == "regression"
    model, began = AutoML(), time.monotonic()
    model.fit(
        train.drop(columns=label),
        train[label].to_numpy(),
        task="regression" if regression else "classification",
        metric=FLAML_METRICS[request["metric"]],
        time_budget=request["seconds"],
        split_type="time" if request["ordered"] else "auto",
        n_jobs=os.cpu_count(),
        seed=request["seed"],
        verbose=0,
    )
    seconds = time.monotonic() - began
    found = model.predict(test) if regression else model.predict_proba(test)
    return np.asarray(found), seconds, f"{model.best_estimator}"


def autogluon(
    train: pd.DataFrame, test: pd.DataFrame, request: dict[str, Any]
) -> tuple[np.ndarray, float, str]:
    """AutoGluon: its best presets, but its default ones where they would not come to an end."""
    from autogluon.tabular import TabularPredictor

    regression = request["task"] == "regression"
    model = TabularPredictor(
        request["label"],
        problem_type=request["task"],
        eval_metric=AUTOGLUON_METRICS[request["metric"]],
        path=request["place"],
        verbosity=0,
    )
    began = time.monotonic()
    presets = "best" if request["seconds"] >= LONG else "medium"
    model.fit(
        train,
        time_limit=request["seconds"],
        presets=presets,
        dynamic_stacking=False,  # a trial fit, for which this time is too short
        num_cpus=os.cpu_count(),
        num_gpus=0,
    )
    seconds = time.monotonic() - began
    found = model.predict(test) if regression else model.predict_proba(test)
    return np.asarray(found), seconds, f"{presets}: {model.model_best}"


def answer(place: Path) -> None:
    """Fit on train.parquet and write answers.npy and facts.json."""
    request = json.loads((place / "request.json").read_text())
    frames = [pd.read_parquet(place / f"{part}.parquet") for part in ("train", "test")]
    request["place"] = str(place / f"models{request['seconds']:.3f}")
    ways = {"flaml": flaml, "autogluon": autogluon}
    found, seconds, note = ways[request["peer"]](frames[0], frames[1], request)
    np.save(place / "answers.npy", found.astype(np.float64), allow_pickle=False)
    (place / "facts.json").write_text(json.dumps({"seconds": seconds, "note": note}))


if __name__ == "__main__":
    told = os.fdopen(os.dup(1), "w")  # what peers print must not stand among the answers
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer(Path(line.strip()))
            said = "done"
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        print(said, file=told, flush=True)
