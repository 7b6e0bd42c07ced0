"""A table with every kind of column, and small models made by the functions of training."""

from dataclasses import dataclass
from pathlib import Path

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

ROWS = 400


def trips() -> pa.Table:
    """Every kind of column: numbers with and without nulls, text of all sorts, both booleans."""
    draw = np.random.default_rng(7)
    fare = draw.gamma(2.0, 6.0, ROWS).round(2)
    miles = [None if draw.random() < 0.1 else float(x) for x in draw.gamma(1.5, 2.0, ROWS)]
    company = draw.choice(["Flash Cab", "Sun Taxi", "City Service"], ROWS)
    driver = [f"driver {i}" for i in draw.integers(0, 60, ROWS)]
    total = [" " if draw.random() < 0.05 else f"{x:.2f}" for x in draw.gamma(2.0, 30.0, ROWS)]
    day = np.datetime64("2024-01-01") + draw.integers(0, 300, ROWS)
    return pa.table(
        {
            "trip_id": [f"t{i:06d}" for i in range(ROWS)],
            "fare": fare,
            "passengers": draw.integers(1, 5, ROWS),
            "miles": pa.array(miles, pa.float64()),
            "company": [None if draw.random() < 0.05 else str(c) for c in company],
            "driver": driver,
            "total": total,
            "partner": draw.choice(["Yes", "No"], ROWS).tolist(),
            "shared": pa.array(draw.random(ROWS) < 0.3),
            "day": pa.array(day),
        }
    )


def label_of(task: str, table: pa.Table) -> pa.Array:
    draw = np.random.default_rng(11)
    fare = table.column("fare").to_numpy() + draw.normal(0.0, 3.0, ROWS)
    fare += 6.0 * (np.array(table.column("company").to_pylist()) == "Sun Taxi")
    if task == "regression":
        return pa.array(fare)
    if task == "multiclass":
        return pa.array(np.digitize(fare, [8.0, 16.0]) + 1)
    return pa.array(np.where(fare > 12.0, "yes", "no").tolist())


OBJECTIVES = {
    "binary": {"objective": "binary:logistic"},
    "multiclass": {"objective": "multi:softprob", "num_class": 3},
    "regression": {"objective": "reg:squarederror"},
}


@dataclass
class Trained:
    """A model package on disk, the table it was trained on, and its scorer."""

    path: Path
    table: pa.Table
    rows: list[dict]
    scorer: Scorer
    digest: str
    names: list[str]

    def tensors(self, rows: list[dict]) -> dict:
        """A V2 request for rows, in JSON."""
        kinds = {"fare": "FP64", "passengers": "INT64", "miles": "FP64", "shared": "BOOL"}
        return {
            "inputs": [
                {
                    "name": name,
                    "datatype": kinds.get(name, "BYTES"),
                    "shape": [len(rows)],
                    "data": [row[name] for row in rows],
                }
                for name in self.names
            ]
        }

    def outputs(self, table: pa.Table | None = None) -> list[dict]:
        return self.scorer.outputs(self.scorer.score_table(self.table if table is None else table))


def train_model(task: str, path: Path, xgboost_version: str = xgb.__version__) -> Trained:
    table = trips()
    return train_on(table, label_of(task, table), task, path, xgboost_version)


def train_on(
    table: pa.Table, label: pa.Array, task: str, path: Path, xgboost_version: str = xgb.__version__
) -> Trained:
    labelled = table.append_column("label", label)
    target = resolve_target(labelled.column("label"), task)
    plan = fit_plan(labelled, "label", target)
    matrix = xgb.DMatrix(
        plan.transform_training(labelled), label=target.encode(labelled.column("label"))
    )
    parameters = OBJECTIVES[task] | {"max_depth": 4, "nthread": 1, "seed": 0}
    booster = xgb.train(parameters, matrix, num_boost_round=30)
    threshold = 0.4 if task == "binary" else None
    signature = signature_of(plan, "trips", threshold, Calibrator().to_json(), xgboost_version)
    scorer = Scorer(booster, signature)
    rows = to_rows(table)
    sparse = {"miles": None, "company": None, "total": " "}
    golden = [*rows[:20], rows[0] | {k: v for k, v in sparse.items() if k in rows[0]}]
    transform = scorer.plan.row_transformer()
    outputs = scorer.outputs(scorer.score_matrix(np.stack([transform(row) for row in golden])))
    digest = write_package(path, booster, signature, golden, outputs, {}, {})
    names = [feature.name for feature in signature.features]
    return Trained(path, table, rows, scorer, digest, names)
