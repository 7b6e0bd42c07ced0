"""`make bench-data`: the data steps against what one would else run, on one machine in one run.

In each round every program reads the same table once, in an order that rotates, so that whatever
else the machine does meets all of them alike; ratios are medians of the pairs of a round. CPU time
is steadier than time on the clock where others work too.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import click

from tests.bench.data_run import REPOSITORY, Spent, run
from tests.bench.data_table import make

PEERS = ("ours", "pandas", "pyarrow", "duckdb")
HEAD = ["what", "rows", "program", "rows/s", "s", "CPU s", "peak MB", "x time", "x CPU"]

Turns = dict[tuple[str, int], dict[str, list[Spent]]]


@click.command()
@click.option("--rows", multiple=True, type=int, help="again for more; or 1 and 5 million")
@click.option("--rounds", default=3, show_default=True, help="how often each program is run")
@click.option("--pandas-rows", default=5_000_000, show_default=True, help="it holds all in memory")
@click.option("--statistics-rows", default=200_000, show_default=True, help="for TFDV; 0 for none")
@click.option("--split/--no-split", default=True, show_default=True, help="measure the split too")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/bench"))
def main(
    rows: tuple[int, ...],
    rounds: int,
    pandas_rows: int,
    statistics_rows: int,
    split: bool,
    out: Path,
) -> None:
    """Measure the data steps; writes build/bench/data.{json,md}."""
    out.mkdir(parents=True, exist_ok=True)
    turns: Turns = defaultdict(lambda: defaultdict(list))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="shipway-bench-") as name:
        for count in rows or (1_000_000, 5_000_000):
            peers = [peer for peer in PEERS if peer != "pandas" or count <= pandas_rows]
            _ingest(turns, count, peers, rounds, split, Path(name))
        if statistics_rows:
            _statistics(turns, statistics_rows, rounds, Path(name))
    lines = _table(turns)
    head = f"{os.cpu_count()} cores, load {load:.1f} before; {rounds} rounds; x: to ours\n\n"
    text = head + "".join("| " + " | ".join(line) + " |\n" for line in lines)
    click.echo(text)
    (out / "data.md").write_text(text)
    raw = [
        {"what": what, "rows": count, "program": peer, "turns": [asdict(one) for one in spent]}
        for (what, count), peers in turns.items()
        for peer, spent in peers.items()
    ]
    (out / "data.json").write_text(json.dumps(raw, indent=1))


def _ingest(
    turns: Turns, rows: int, peers: list[str], rounds: int, with_split: bool, folder: Path
) -> None:
    """CSV to Parquet, Parquet to Parquet, and the split of what was ingested."""
    python, sources = Path(sys.executable), make(rows, folder)
    for number in range(rounds):
        for what, source in zip(("CSV", "Parquet"), sources, strict=True):
            for place in range(len(peers)):
                peer = peers[(place + number) % len(peers)]
                spent = run(python, f"ingest_{peer}", source, folder / "out")
                turns[f"ingest {what}", rows][peer].append(spent)
                click.echo(f"{what} {rows:,} {peer}: {spent}")
    if with_split:
        run(python, "ingest_ours", sources[1], folder / "whole")
        for _ in range(rounds):
            spent = run(python, "split_ours", folder / "whole" / "dataset", folder / "out")
            turns["split", rows]["ours"].append(spent)
            click.echo(f"split {rows:,}: {spent}")
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _statistics(turns: Turns, rows: int, rounds: int, folder: Path) -> None:
    """The validate step on a Dataset, against plain TFDV on the CSV, in the data environment."""
    found = sorted((REPOSITORY / ".shipway" / "envs").glob("data-*/bin/python"), key=_age)
    if not found:
        click.echo("No data environment is there (`make run` builds it): TFDV is not measured.")
        return
    python = found[-1]
    link = folder / "link"
    (link / "shipway").mkdir(parents=True)
    (link / "shipway" / "components").symlink_to(REPOSITORY / "components")
    texts, _ = make(rows, folder)
    run(Path(sys.executable), "ingest_ours", texts, folder / "whole")
    programs = {"ours": folder / "whole" / "dataset", "tfdv": texts}
    for number in range(rounds):
        for peer in sorted(programs, reverse=bool(number % 2)):
            spent = run(python, f"validate_{peer}", programs[peer], folder / "out", str(link))
            turns["statistics", rows][peer].append(spent)
            click.echo(f"statistics {rows:,} {peer}: {spent}")


def _age(path: Path) -> float:
    return path.parents[1].stat().st_mtime


def _table(turns: Turns) -> list[list[str]]:
    lines = [HEAD, ["---"] * len(HEAD)]
    for (what, rows), peers in turns.items():
        for peer, spent in peers.items():
            seconds, cpu, memory = (
                statistics.median(getattr(one, figure) for one in spent)
                for figure in ("seconds", "cpu", "memory")
            )
            times = [_ratio(spent, peers["ours"], figure) for figure in ("seconds", "cpu")]
            rate = f"{rows / seconds:,.0f}"
            figures = [rate, f"{seconds:.1f}", f"{cpu:.1f}", f"{memory:,.0f}", *times]
            lines.append([what, f"{rows:,}", peer, *figures])
    return lines


def _ratio(above: list[Spent], below: list[Spent], figure: str) -> str:
    pairs = zip(above, below, strict=True)
    return f"{statistics.median(getattr(a, figure) / getattr(b, figure) for a, b in pairs):.2f}"


if __name__ == "__main__":
    main()
