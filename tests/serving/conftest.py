"""Small models made by the functions of training, and real model servers that answer for them."""

import functools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from shipway.components.lib.calibration import Calibrator
from shipway.components.lib.fitting import fit_plan
from shipway.components.lib.labels import resolve_target
from shipway.components.lib.model_package import write_package
from shipway.components.lib.scoring import Scorer
from shipway.components.lib.signature import signature_of
from shipway.components.lib.tables import to_rows
from tests.forking import Forked, Forking

ROWS = 400
START_SECONDS = 60


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


@dataclass
class Served:
    """A running model server."""

    process: subprocess.Popen | Forked
    url: str
    log: list[str]
    client: httpx.Client = field(repr=False)
    seconds: float = 0.0

    def post(self, path: str, **arguments) -> httpx.Response:
        return self.client.post(self.url + path, **arguments)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(self.url + path)

    def predict(self, rows: list) -> httpx.Response:
        return self.post("/v1/models/trips:predict", json={"instances": rows})

    def infer(self, payload: object) -> httpx.Response:
        return self.post("/v2/models/trips/infer", json=payload)

    def text(self) -> str:
        return "".join(self.log)

    @property
    def grpc(self) -> str:
        """Where gRPC answers: it is told before REST is ready."""
        return re.search(r"answers V2 gRPC on ([^ ]+:\d+)", self.text())[1]


# XGBoost imports scikit-learn where it is, for most of a server's start; the serve image has none.
PREDICTOR = (
    "import runpy, sys; sys.modules['sklearn'] = None; "
    "runpy.run_module('shipway.components.predictor', run_name='__main__', alter_sys=True)"
)
IMPORTS = """
import sys
sys.modules["sklearn"] = None
sys.argv[1:] = ["--configure_logging", "false"]
import shipway.components.predictor.loading
from shipway.components.predictor.sdk import import_sdk
import_sdk()
import shipway.components.predictor.server
"""


@functools.cache
def forking() -> Forking:
    return Forking(IMPORTS)


def start_process(*flags: object, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen:
    """A server in an interpreter of its own, as a pod starts it."""
    command = [sys.executable, "-c", PREDICTOR, *map(str, flags)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
        pass_fds=pass_fds,
    )


@contextmanager
def run_server(
    path: Path, *flags: object, client: httpx.Client | None = None, listener: int | None = None
) -> Iterator[Served]:
    """Run a server on a free port until the block ends, and end it as Kubernetes would."""
    began = time.monotonic()
    if listener is None:
        process = forking().start(PREDICTOR, "--model_dir", path, "--http_port", 0, *flags)
    else:
        place = ["--http_fd", listener]
        process = start_process("--model_dir", path, *place, *flags, pass_fds=(listener,))
    log: list[str] = []
    lines = threading.Thread(target=lambda: log.extend(process.stdout), daemon=True)
    lines.start()
    try:
        with client or httpx.Client(trust_env=False, timeout=30.0) as caller:
            url = _await_ready(process, log, caller, began + START_SECONDS)
            yield Served(process, url, log, caller, time.monotonic() - began)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            process.kill()
            lines.join(5)


def _await_ready(process, log, client, deadline) -> str:
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"answers on (https?://[^/]+)/", "".join(log))
        if found:
            try:
                if client.get(f"{found[1]}/v2/health/ready").status_code == 200:
                    return found[1]
            except httpx.ConnectError:
                pass
        time.sleep(0.02)
    raise AssertionError(f"the server did not become ready:\n{''.join(log)}")


def run_refused(*flags: object) -> tuple[int, str]:
    """Start a server that must not come up: its exit status and what it said."""
    process = forking().start(PREDICTOR, *flags)
    try:
        text = process.read(timeout=START_SECONDS)
    finally:
        process.kill()
    return process.wait(), text


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Trained]:
    root = tmp_path_factory.mktemp("models")
    return {task: train_model(task, root / task) for task in OBJECTIVES}


@pytest.fixture(scope="session")
def binary(models) -> Trained:
    return models["binary"]


@pytest.fixture(scope="session")
def whole(binary) -> list[dict]:
    """Two rows with nothing missing."""
    full = [row for row in binary.rows if None not in row.values()]
    return full[:2]


@pytest.fixture(scope="session")
def server(binary) -> Iterator[Served]:
    flags = ["--model_version", "7", "--max_body_mib", 1, "--log_requests", 0]
    with run_server(binary.path, *flags) as served:
        yield served


@pytest.fixture(scope="session")
def both(binary) -> Iterator[Served]:
    """A server that answers gRPC too."""
    flags = ["--model_version", "7", "--enable_grpc", "true", "--grpc_port", 0]
    with run_server(binary.path, *flags) as served:
        yield served


# Test modules cannot import this one, so its functions come as fixtures.
@pytest.fixture(scope="session")
def serving():
    return run_server


@pytest.fixture(scope="session")
def refused():
    return run_refused


@pytest.fixture(scope="session")
def train():
    return train_model


@pytest.fixture(scope="session", name="train_on")
def train_on_fixture():
    return train_on
