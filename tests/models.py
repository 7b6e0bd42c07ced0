"""Small models of the real plan and package, and their way through evaluation and gate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb

from shipway.components.bless.logic import bless
from shipway.components.evaluate.logic import evaluate
from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.decision import Decision
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.labels import infer_task
from shipway.components.lib.model_package import write_package
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import write_table

ROWS = 1_500
OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}


def table(rows: int = ROWS, seed: int = 0, kind: str = "binary") -> pa.Table:
    """Rows whose label hangs on `x`, `z`, their product and `city`."""
    draw = np.random.default_rng(seed)
    x, z = draw.normal(size=rows), draw.normal(size=rows)
    city = draw.choice(["Bern", "Rome", "Oslo"], rows)
    score = x + z + 1.5 * x * z + (city == "Rome") + 0.5 * draw.normal(size=rows)
    label: Any = np.where(score > 0.3, "yes", "no")
    if kind == "multiclass":
        label = np.array(["low", "mid", "top"])[np.digitize(score, [-0.5, 1.0])]
    if kind == "regression":
        label = 100 + 20 * score
    return pa.table({"x": x, "z": z, "city": city, "label": label})


def shuffled(source: pa.Table, share: float = 1.0, seed: int = 0) -> pa.Table:
    """The table with the labels of a share of its rows drawn from other rows."""
    draw = np.random.default_rng(seed)
    label = np.asarray(source["label"].to_pylist())
    rows = np.flatnonzero(draw.random(len(label)) < share)
    label[rows] = label[draw.permutation(rows)]
    return source.set_column(source.column_names.index("label"), "label", pa.array(label))


def build(path: Path, source: pa.Table, golden: int = 0, *, refit: bool = False) -> Path:
    """A model package trained on a table by the real plan and package; its rows lie beside it."""
    plan = fit_plan(source, "label", infer_task(source["label"]))
    parameters: dict[str, Any] = {"max_depth": 3, "eta": 0.2, "nthread": 1}
    parameters["objective"] = OBJECTIVES[plan.target.task]
    if plan.target.task == "multiclass":
        parameters["num_class"] = len(plan.target.classes)
    y = plan.target.encode(source["label"])
    booster = xgb.train(parameters, xgb.DMatrix(plan.transform_training(source), y), 30)
    threshold = 0.5 if plan.target.task == "binary" else None
    signature = signature_of(plan, "churn", threshold, Calibrator().to_json(), xgb.__version__)
    rows = source.drop_columns(["label"]).slice(0, golden).to_pylist()
    write_package(
        path, booster, signature, rows, [], {}, {"parameters": parameters, "refit": refit}
    )
    write_table(source, train_of(path))
    return path


def train_of(model: Path) -> Path:
    """The training rows of a model that `build` made."""
    return model.with_name(f"{model.name}-train")


def evaluated(
    model: Path, folder: Path, test: pa.Table | None = None, protected: Sequence[str] = ()
) -> Path:
    """Evaluate a model on a test table; returns the folder, which holds both."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(table(seed=9) if test is None else test, folder / "test")
    evaluate(
        model,
        folder / "test",
        folder / "evaluation.json",
        folder / "evaluation.html",
        train=train_of(model),
        protected_columns=protected,
    )
    return folder


def judged(model: Path, folder: Path, out: Path, **options: Any) -> tuple[str, Decision]:
    """Bless a model by the evaluation of a folder, and write what comes of it to another."""
    options = {"model_name": "churn", "model_store": ""} | options
    files = folder / "evaluation.json", model, folder / "test"
    verdict = bless(*files, out / "decision.json", out / "page.html", **options)
    return verdict, Decision.load(out / "decision.json")
