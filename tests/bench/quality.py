"""`make bench-quality`: default and tuned runs against XGBoost and AutoML, on real tables.

All see the same split. Plain XGBoost is what a user writes first: `XGBClassifier()` with categories
of pandas, fitted on training and validation rows together. FLAML and AutoGluon get those rows, too,
and the time on the clock that our default run took (feature plan included), then that of the tuned
one; all run one after another. The test rows are read once a model. Differences are paired, on the
same test rows, by the bootstrap.
"""

import json
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import xgboost as xgb

from shipway.components.features.logic import fit
from shipway.components.ingest.logic import Request as IngestRequest
from shipway.components.ingest.logic import ingest
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.metrics import compute_metrics, paired_difference
from shipway.components.lib.model_package import load_package
from shipway.components.lib.scoring import Prediction, Scorer
from shipway.components.lib.tables import read_table, write_table
from shipway.components.lib.task import Target
from shipway.components.train.logic import train
from shipway.components.train.request import Request as TrainRequest
from shipway.components.tune.logic import tune
from shipway.components.tune.request import Request as TuneRequest
from tests.bench import automl
from tests.bench.quality_table import BEST, HEAD, OURS, lines_of, score

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FOLDS = 5
VALIDATION = 0.2
TEST_FROM = 10  # the month


@dataclass(frozen=True)
class Table:
    """One of the tables, and what a tuned run should reach on it."""

    path: str
    label: str
    metric: str
    bound: float
    exclude: list[str] = field(default_factory=list)
    time_column: str = ""
    folds: bool = False  # small: outer folds, so that all of its rows are tested on


AFTER_DEPARTURE = ["dep_time", "dep_delay", "arr_time", "air_time", "arr_delay"]
TABLES = {
    # Our runs leave identifiers out by themselves; the peers are not to fail by one.
    "telco-churn": Table("telco_churn.csv", "Churn", "auc", 0.859, ["customerID"]),
    "chicago-taxi": Table("chicago_taxi.csv", "big_tipper", "auc", 0.956, ["tips"]),
    "diamonds": Table("diamonds.csv", "price", "rmse", 523),
    "nyc-flights": Table("flights.parquet", "late", "auc", 0.685, AFTER_DEPARTURE, "time_hour"),
    "penguins": Table("penguins.csv", "species", "log_loss", 0.075, folds=True),
}


@dataclass
class Answers:
    """What one way of training says of test rows, and how long it took."""

    prediction: Prediction
    seconds: float
    note: str = ""


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seconds", default=60, show_default=True, help="to tune, for each table")
@click.option("--seed", default=0, show_default=True)
@click.option("--peers", default="flaml,autogluon", show_default=True, help="empty for none")
@click.option("--best", is_flag=True, help="measure the tuned run with quality=best, too")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/bench"))
def main(
    names: tuple[str, ...], seconds: int, seed: int, peers: str, best: bool, out: Path
) -> None:
    """Measure quality; writes build/bench/quality.{json,md}."""
    ways = (*OURS, BEST) if best else OURS
    out.mkdir(parents=True, exist_ok=True)
    rivals = {name: automl.start(name, out) for name in peers.split(",") if name}
    lines, raw = [], {}
    for name in names or TABLES:
        with tempfile.TemporaryDirectory(prefix="shipway-bench-") as folder:
            raw[name] = _measure(name, Path(folder), seconds, seed, ways, rivals)
        table = TABLES[name]
        found = lines_of(name, table.metric, table.bound, raw[name])
        lines += found
        click.echo("".join(found))
    head = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {seconds} s to tune\n\n"
    for peer in rivals.values():
        automl.stop(peer)
    click.echo(score(raw))
    (out / "quality.md").write_text(head + HEAD + "".join(lines) + "\n" + score(raw))
    (out / "quality.json").write_text(json.dumps(raw, indent=1))


def _measure(
    name: str,
    place: Path,
    seconds: int,
    seed: int,
    ways: Sequence[str],
    rivals: Mapping[str, automl.Peer],
) -> dict[str, dict[str, object]]:
    table = TABLES[name]
    request = IngestRequest(str(SHARED / name / table.path), table.label, table.exclude)
    ingest(request, place / "dataset", place / "datasheet.html")
    folds = _outer(place, table, seed) if table.folds else _split(place, table)
    truth: list[np.ndarray] = []
    answers: dict[str, list[Answers]] = {way: [] for way in ("plain", *ways)}
    target = Target("regression")
    for fold in folds:
        began = time.monotonic()
        plan = fit(
            fold / "train", table.label, fold / "plan", fold / "f.html",
            time_column=table.time_column, validation=fold / "validation",
        )  # fmt: skip
        target, planned = plan.target, time.monotonic() - began
        truth.append(plan.target.encode(read_table(fold / "test").column(table.label)))
        answers["plain"].append(_plain(fold, plan, seed))
        answers["default"].append(_ours(fold, {}, seed, lambda: {}))
        wish = TuneRequest({}, seconds / len(folds), seed=seed, time_column=table.time_column)
        answers["tuned"].append(_ours(fold, {}, seed, _tuner(fold, wish)))
        if BEST in ways:
            parameters = json.loads(answers["tuned"][-1].note)
            bag = _ours(fold, parameters, seed, lambda: {}, "best", table.time_column)
            bag.seconds += answers["tuned"][-1].seconds
            answers[BEST].append(bag)
        for ours in ways:
            answers[ours][-1].seconds += planned
        for way, peer, asked in _asked(table, plan.target, rivals, answers, seed):
            found = automl.answers(peer, fold, plan.target, asked)
            answers.setdefault(way, []).extend([Answers(*found)] if found else [])
    answers = {way: parts for way, parts in answers.items() if len(parts) == len(folds)}
    y = np.concatenate(truth)
    joined = {way: _joined(parts) for way, parts in answers.items()}
    return {way: _facts(target, table, y, joined, way, answers[way]) for way in joined}


def _asked(
    table: Table,
    target: Target,
    rivals: Mapping[str, automl.Peer],
    answers: Mapping[str, list[Answers]],
    seed: int,
) -> Iterator[tuple[str, automl.Peer, automl.Wish]]:
    """Each rival twice: with the time that our default run took, and with that of the tuned one."""
    for peer, process in rivals.items():
        for ours in OURS:
            yield (
                f"{peer}, time of {ours}",
                process,
                automl.Wish(
                    peer, table.label, target.task, table.metric, answers[ours][-1].seconds,
                    bool(table.time_column), seed,
                ),
            )  # fmt: skip


def _facts(
    target: Target,
    table: Table,
    y: np.ndarray,
    joined: Mapping[str, Prediction],
    way: str,
    parts: list[Answers],
) -> dict[str, object]:
    difference = None
    ours = "tuned" if "tuned" in way else "default"
    if way != ours:
        difference = paired_difference(target, y, joined[way], joined[ours], table.metric)
    return {
        "against": ours,
        "metrics": compute_metrics(target, y, joined[way]),
        "seconds": sum(part.seconds for part in parts),
        "difference": difference and [difference.value, difference.low, difference.high],
        "note": "; ".join(part.note for part in parts if part.note),
    }


def _split(place: Path, table: Table) -> list[Path]:
    """The split that the table's README suggests, and a fifth of the rest to validate."""
    rows = read_table(place / "dataset")
    if table.time_column:  # sorted in time
        test = rows.column("month").to_numpy() >= TEST_FROM
        known = np.flatnonzero(~test)
        held = known[int(len(known) * (1 - VALIDATION)) :]
    else:
        test = np.array([zlib.crc32(str(i).encode()) % 5 == 0 for i in range(rows.num_rows)])
        known = np.flatnonzero(~test)
        held = np.random.default_rng(0).choice(known, int(len(known) * VALIDATION), replace=False)
    fold = place / "fold"
    parts = {"train": np.setdiff1d(known, held), "validation": held, "test": np.flatnonzero(test)}
    for part, taken in parts.items():
        write_table(rows.take(pa.array(np.sort(taken))), fold / part)
    return [fold]


def _outer(place: Path, table: Table, seed: int) -> list[Path]:
    from sklearn.model_selection import StratifiedKFold, train_test_split

    rows = read_table(place / "dataset")
    rows = rows.filter(rows.column(table.label).is_valid())
    labels = rows.column(table.label).to_pylist()
    found = []
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (rest, test) in enumerate(folds.split(labels, labels)):
        fold = place / f"fold{number}"
        kept = [labels[row] for row in rest]
        train_rows, held = train_test_split(rest, test_size=0.2, stratify=kept, random_state=seed)
        for part, taken in (("train", train_rows), ("validation", held), ("test", test)):
            write_table(rows.take(pa.array(np.sort(taken))), fold / part)
        found.append(fold)
    return found


def _tuner(fold: Path, request: TuneRequest) -> Callable[[], dict[str, float]]:
    tables = fold / "train", fold / "validation", fold / "plan"
    outputs = fold / "study", fold / "study.html"
    return lambda: tune(*tables, *outputs, request, fold / "journal").parameters


def _ours(
    fold: Path,
    given: dict[str, float],
    seed: int,
    find: Callable[[], dict[str, float]],
    quality: str = "standard",
    time_column: str = "",
) -> Answers:
    began = time.monotonic()
    parameters = given | find()
    tables = fold / "train", fold / "validation", fold / "plan"
    model = fold / "model"
    request = TrainRequest("bench", parameters, seed, quality=quality, time_column=time_column)
    train(*tables, model, fold / "model.html", request)
    seconds = time.monotonic() - began
    package = load_package(model)
    scorer = Scorer(package.booster, package.signature)
    return Answers(scorer.score_table(read_table(fold / "test")), seconds, json.dumps(parameters))


def _plain(fold: Path, plan: FeaturePlan, seed: int) -> Answers:
    tables = {name: read_table(fold / name) for name in ("train", "validation", "test")}
    began = time.monotonic()
    known = pa.concat_tables([tables["train"], tables["validation"]])
    frames = [table.drop_columns([plan.label]).to_pandas() for table in (known, tables["test"])]
    for name in frames[0].columns:
        if pd.api.types.is_datetime64_any_dtype(frames[0][name]):
            frames[0][name], frames[1][name] = (f[name].astype("int64") for f in frames)
        elif not pd.api.types.is_numeric_dtype(frames[0][name]):
            kinds = frames[0][name].astype("category").dtype
            frames[0][name], frames[1][name] = (f[name].astype(kinds) for f in frames)
    y = plan.target.encode(known.column(plan.label))
    kind = xgb.XGBRegressor if plan.target.task == "regression" else xgb.XGBClassifier
    model = kind(enable_categorical=True, random_state=seed).fit(frames[0], y)
    if plan.target.task == "regression":
        prediction = Prediction(values=model.predict(frames[1]).astype(np.float64))
    else:
        found = model.predict_proba(frames[1]).astype(np.float64)
        prediction = Prediction(found, found.argmax(axis=1).astype(np.int32))
    return Answers(prediction, time.monotonic() - began)


def _joined(parts: list[Answers]) -> Prediction:
    fields = ("probabilities", "labels", "values")
    columns = [[getattr(part.prediction, name) for part in parts] for name in fields]
    return Prediction(*(None if c[0] is None else np.concatenate(c) for c in columns))


if __name__ == "__main__":
    main()
