"""Training against plain XGBoost as an expert calls it: `python -m tests.bench.training`.

Each run is a process of its own: CPU seconds are those of the whole of it, with reading, features
and the package; peak memory is that of training. The feature plan is fitted in a process of its
own, as it is in a step of its own. The expert reads Parquet into float32, codes categories by their
order, and calls `xgb.train` on a QuantileDMatrix with the same parameters and rounds.
"""

import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shipway.components.lib.parts import ROW_GROUP

FLOATS, CATEGORIES = 26, (8, 50, 300, 2_000)
BLOCK = 250_000
WAYS = ("expert", "in memory", "on disk")
IMAGE = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # as the image of the step has it


def write(folder: Path, rows: int, seed: int) -> None:
    """A Dataset of 30 columns and a label: floats with 3 % nulls, and categories."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    effects = [np.random.default_rng(9).normal(size=size) for size in CATEGORIES]
    for part, start in enumerate(range(0, rows, BLOCK)):
        count = min(BLOCK, rows - start)
        floats = draw.normal(size=(FLOATS, count)).astype(np.float32)
        codes = [draw.integers(0, size, count) for size in CATEGORIES]
        score = (
            floats[0]
            + floats[1] * floats[2]
            + sum(e[c] for e, c in zip(effects, codes, strict=True))
        )
        mask = draw.random((FLOATS, count)) < 0.03
        columns = {f"x{i}": pa.array(floats[i], mask=mask[i]) for i in range(FLOATS)}
        for size, code in zip(CATEGORIES, codes, strict=True):
            columns[f"c{size}"] = pa.array([f"v{i}" for i in range(size)]).take(pa.array(code))
        columns["label"] = pa.array(np.where(score + draw.normal(size=count) > 0, "yes", "no"))
        file = folder / f"part-{part:05d}.parquet"
        pq.write_table(pa.table(columns), file, ROW_GROUP, compression="zstd")


def run(way: str, folder: Path, rounds: int) -> dict[str, float]:
    """One training in this process; its memory is what it takes beyond the libraries."""
    import xgboost  # noqa: F401

    from shipway.components.features import logic as features  # noqa: F401
    from shipway.components.train import logic  # noqa: F401

    expert = way == "expert"
    if not expert:
        _fit(folder)
    peak, ended, before = [0.0], threading.Event(), _held()

    def watch() -> None:
        while not ended.wait(0.05):
            peak.append(_held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        loss = _expert(folder, rounds) if expert else _ours(folder, rounds, way == "on disk")
    finally:
        ended.set()
        watcher.join()
    return {"cpu": _cpu(), "peak": max(peak) - before, "loss": loss}


def _held() -> float:
    """Memory in MB that is no page of a file: the system takes those back when it needs them."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition("RssAnon:")[2].split()[0]) / 1000


def _cpu() -> float:
    both = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(sum(resource.getrusage(who)[:2]) for who in both)


def _fit(folder: Path) -> None:
    from shipway.components.features.logic import fit

    places = folder / "train", "label", folder / "plan", folder / "features.html"
    step = multiprocessing.get_context("fork").Process(
        target=fit, args=places, kwargs={"validation": folder / "validation"}
    )
    step.start()
    step.join()
    if step.exitcode:
        raise RuntimeError("The plan could not be fitted.")


def _ours(folder: Path, rounds: int, external: bool) -> float:
    from shipway.components.train.logic import train
    from shipway.components.train.request import Request

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        parameters = {"num_boost_round": rounds, "max_bin": 256, "external_memory": external}
        request = Request("bench", {name: float(value) for name, value in parameters.items()})
        tables = folder / "train", folder / "validation", folder / "plan"
        return train(*tables, out / "model", out / "page.html", request).metrics["log_loss"]


def _expert(folder: Path, rounds: int) -> float:
    import xgboost as xgb

    from shipway.components.lib.parameters import settings_for
    from shipway.components.lib.task import Target

    def matrix(name: str) -> tuple[np.ndarray, np.ndarray]:
        table = pq.read_table(folder / name)
        out = np.empty((table.num_rows, table.num_columns - 1), dtype=np.float32)
        for place, column in enumerate(table.column_names[:-1]):
            values = table.column(column)
            if pa.types.is_string(values.type):
                values = pc.cast(pc.utf8_slice_codeunits(values, 1), pa.float32())
            out[:, place] = values.to_numpy()
        return out, pc.equal(table.column("label"), "yes").to_numpy().astype(np.float32)

    rows, y = matrix("train")
    settings = settings_for(Target("binary", ["no", "yes"], "yes"), len(y), {}, 0)
    parameters = settings.booster | {"max_bin": 256}
    training = xgb.QuantileDMatrix(rows, y, max_bin=256)
    del rows
    held, truth = matrix("validation")
    validation = xgb.QuantileDMatrix(held, truth, ref=training, max_bin=256)
    history: dict[str, dict[str, list[float]]] = {}
    pairs = [(training, "training"), (validation, "validation")]
    xgb.train(parameters, training, rounds, pairs, evals_result=history, verbose_eval=False)
    return history["validation"]["logloss"][-1]


@click.command()
@click.option("--rows", default=[1_000_000, 5_000_000], multiple=True, help="Training rows.")
@click.option("--rounds", default=300, help="Trees: fewer make what is beside training weigh more.")
@click.option("--repeats", default=3, help="Runs of each way, in turn.")
@click.option("--one", nargs=2, hidden=True)
def main(rows: tuple[int, ...], rounds: int, repeats: int, one: tuple[str, str] | None) -> None:
    """Measure, and print a table."""
    if one is not None:
        print(json.dumps(run(one[0], Path(one[1]), rounds)))
        return
    print("| rows x 30 | way | CPU s | of the expert's | peak MB | of the table | log loss |")
    print("|---|---|---|---|---|---|---|")
    for count in rows:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write(folder / "train", count, 0)
            write(folder / "validation", count // 5, 1)
            size = sum(_in_memory(folder / name) for name in ("train", "validation"))
            found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
            for _ in range(repeats):
                for way in WAYS:
                    words = ["tests.bench.training", "--rounds", str(rounds), "--one", way, scratch]
                    done = subprocess.run(
                        [sys.executable, "-m", *words],
                        check=True, capture_output=True, text=True, env=os.environ | IMAGE,
                    )  # fmt: skip
                    found[way].append(json.loads(done.stdout.splitlines()[-1]))
        _print(count, size, found)


def _in_memory(folder: Path) -> float:
    """MB of a table as Arrow holds it: what a reader of all of it takes at least."""
    return sum(pq.read_table(part).nbytes for part in folder.glob("*.parquet")) / 1e6


def _print(count: int, size: float, found: dict[str, list[dict[str, float]]]) -> None:
    for way, runs in found.items():
        cpu, peak = (statistics.median(one[name] for one in runs) for name in ("cpu", "peak"))
        pairs = zip(runs, found["expert"], strict=True)
        ratio = statistics.median(mine["cpu"] / theirs["cpu"] for mine, theirs in pairs)
        loss = runs[0]["loss"]
        share = f"{peak:,.0f} | {peak / size:.2f}"
        print(f"| {count:,} | {way} | {cpu:.1f} | {ratio:.2f} | {share} | {loss:.4f} |", flush=True)


if __name__ == "__main__":
    main()
