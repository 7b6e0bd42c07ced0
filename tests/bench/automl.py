"""The AutoML peers of the quality benchmark: each a process in an environment of its own."""

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shipway.components.lib.scoring import Prediction
from shipway.components.lib.tables import read_table
from shipway.components.lib.task import Target
from tests.bench.peers import install

PROGRAM = Path(__file__).with_name("automl_fit.py")
# Both take LightGBM, XGBoost and CatBoost beside what is their own; AutoGluon without neural nets.
REQUIREMENTS = {
    "flaml": [
        "flaml==2.7.0",
        "lightgbm==4.7.0",
        "catboost==1.2.10",
        "xgboost-cpu==2.1.4",
        "scikit-learn==1.9.1",
        "pandas==2.3.3",
        "pyarrow==26.0.1",
    ],
    "autogluon": ["autogluon.tabular[lightgbm,xgboost,catboost]==1.6.3"],
}
Peer = subprocess.Popen[str]


@dataclass(frozen=True)
class Wish:
    """What a peer is asked for.

    Attributes:
        peer: "flaml" or "autogluon".
        label: the column to predict.
        task: binary, multiclass or regression.
        metric: auc, rmse or log_loss: what it chooses by, and is judged by.
        seconds: of the clock.
        ordered: whether rows are sorted in time.
        seed: of everything that draws.
    """

    peer: str
    label: str
    task: str
    metric: str
    seconds: float
    ordered: bool
    seed: int


def start(peer: str, root: Path) -> Peer:
    """Start a peer in its environment, which is made under a folder when it is not there."""
    if peer not in REQUIREMENTS:
        raise click.BadParameter(f"'{peer}' is no peer: it is {' or '.join(REQUIREMENTS)}.")
    python = install(peer, REQUIREMENTS[peer], root.resolve()) / "python"
    variables = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    variables.pop("PYTHONPATH", None)
    with (root / f"{peer}.log").open("wb") as log:
        return subprocess.Popen(
            [python, PROGRAM], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            text=True, env=variables,
        )  # fmt: skip


def stop(peer: Peer) -> None:
    """Let a peer end."""
    peer.communicate()


def answers(
    peer: Peer, fold: Path, target: Target, wish: Wish
) -> tuple[Prediction, float, str] | None:
    """Let a peer learn from training and validation rows, and answer the test rows.

    Args:
        peer: as `start` gives it.
        fold: folder of the Datasets train, validation and test.
        target: the task and its classes.
        wish: what it is asked for.

    Returns:
        The answers, the seconds that fitting took, and what it chose; None where it failed.
    """
    place = fold / wish.peer
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    tables = {part: read_table(fold / part) for part in ("train", "validation", "test")}
    known = pa.concat_tables([tables["train"], tables["validation"]])
    # Labels go as codes, so that every peer tells classes in one order.
    codes = pa.array(target.encode(known.column(wish.label)))
    known = known.set_column(known.column_names.index(wish.label), wish.label, codes)
    pq.write_table(known, place / "train.parquet")
    pq.write_table(tables["test"].drop_columns([wish.label]), place / "test.parquet")
    (place / "request.json").write_text(json.dumps(asdict(wish)))
    assert peer.stdin is not None
    assert peer.stdout is not None
    print(place, file=peer.stdin, flush=True)
    said = peer.stdout.readline().strip()
    if said != "done":
        click.echo(f"'{wish.peer}' made no model in {wish.seconds:.0f} s: {said[-300:]}")
        return None
    found = np.load(place / "answers.npy", allow_pickle=False)
    facts = json.loads((place / "facts.json").read_text())
    if target.task == "regression":
        return Prediction(values=found), facts["seconds"], facts["note"]
    labels = found.argmax(axis=1).astype(np.int32)
    return Prediction(found, labels), facts["seconds"], facts["note"]
