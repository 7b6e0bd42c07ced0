"""`make bench-serving`: our model server against the servers that one would else deploy.

All peers stay up together. Each round gives each cell to each peer for some seconds, in an order
that rotates, so that whatever else the machine does meets all of them alike; ratios are medians of
the pairs of a round. CPU time a request is steadier than requests a second where others work too.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import xgboost as xgb

from shipway.components.predictor.margins import FastMargins
from tests.bench.cells import CELLS, Cell, WrongAnswerError, ask, check
from tests.bench.load import check_tools, run_h2load, run_wrk
from tests.bench.models import Model, make_model
from tests.bench.peers import PEERS, environment, versions
from tests.bench.report import Measured, Report, print_tables, write_files
from tests.bench.running import Running

IN_PROCESS = ("v1-b1-c1", "v1-b1000-c8")


@click.command()
@click.option("--rounds", default=5, show_default=True, help="how often each cell is measured")
@click.option("--seconds", default=2.0, show_default=True, help="of load on a peer in a cell")
@click.option("--cells", multiple=True, type=click.Choice([*CELLS]), help="again for more; or all")
@click.option("--peers", multiple=True, type=click.Choice([*PEERS]), help="again for more; or all")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/bench"))
def main(
    rounds: int, seconds: float, cells: tuple[str, ...], peers: tuple[str, ...], out: Path
) -> None:
    """Measure the model server against its peers; writes build/bench/serving.{json,md}."""
    check_tools()
    root = out.resolve()
    (root / "load").mkdir(parents=True, exist_ok=True)
    chosen = [CELLS[name] for name in cells or CELLS]
    old = environment(PEERS["stock"], root) / "python"
    wanted = [PEERS[name] for name in peers or PEERS]
    models = {kind: make_model(kind, root / "models", old) for kind in {p.kind for p in wanted}}
    with_grpc = any(cell.protocol == "grpc" for cell in chosen)
    report = Report(rounds, seconds)
    with contextlib.ExitStack() as stack:
        running = []
        for peer in wanted:  # one after the other: each has the machine while it starts
            model = models[peer.kind]
            path = model.booster if peer.requirements else model.package
            server = Running(peer, root, path, with_grpc)
            stack.callback(server.stop)
            running.append(server)
            report.versions[peer.name] = versions(peer, root)
            click.echo(f"{peer.name} is ready after {server.ready_seconds:.1f} s.")
        _check(running, models, chosen, report)
        _measure(running, models, chosen, report, root / "load")
        for server in running:
            report.servers[server.peer.name] = {
                "cpu_seconds_to_ready": round(server.ready_cpu, 2),
                "seconds_to_ready": round(server.ready_seconds, 2),
                "rss_mib_ready": round(server.ready_rss, 1),
                "rss_mib_after": round(server.rss(), 1),
            }
    if "numeric" in models:
        _in_process(models["numeric"], chosen, report)
    print_tables(report)
    write_files(report, root)


def _check(
    running: list[Running], models: dict[str, Model], cells: list[Cell], report: Report
) -> None:
    """Find out which peer can do what, and that it does it right."""
    for cell in cells:
        for server in running:
            name = server.peer.name
            try:
                reason = check(cell, models[server.peer.kind], server.url, server.grpc)
            except WrongAnswerError as error:
                raise click.ClickException(
                    f"'{name}' answers {cell.name} wrongly: {error}"
                ) from None
            if reason:
                report.unsupported[cell.name][name] = reason


def _measure(
    running: list[Running],
    models: dict[str, Model],
    cells: list[Cell],
    report: Report,
    folder: Path,
) -> None:
    for turn in range(report.rounds):
        click.echo(f"Round {turn + 1} of {report.rounds} ...")
        for cell in cells:
            able = [s for s in running if s.peer.name not in report.unsupported[cell.name]]
            start = turn % max(1, len(able))
            for server in able[start:] + able[:start]:
                measured = _load(server, cell, models[server.peer.kind], report.seconds, folder)
                report.measured[cell.name][server.peer.name].append(measured)
                # What was right before the load must be right after it.
                check(cell, models[server.peer.kind], server.url, server.grpc)


def _load(server: Running, cell: Cell, model: Model, seconds: float, folder: Path) -> Measured:
    asked, before = ask(cell, model), server.cpu()
    if cell.protocol == "grpc":
        url = f"http://127.0.0.1:{server.grpc}{asked.path}"
        load = run_h2load(url, asked.body, cell.connections, seconds, folder)
    else:
        url = server.url + asked.path
        load = run_wrk(url, asked.body, asked.headers, cell.connections, seconds, folder)
    cpu = (server.cpu() - before) / max(1, load.requests) * 1e6
    rate = load.requests / load.seconds
    return Measured(rate, cpu, load.p50, load.p99, load.failed)


def _in_process(model: Model, cells: list[Cell], report: Report) -> None:
    """What the prediction itself costs: no server can be cheaper, but for batching."""
    rows = np.array([list(row.values()) for row in model.rows], dtype=np.float32)
    booster = xgb.Booster(params={"nthread": 1}, model_file=model.booster)
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "in process: inplace_predict": booster.inplace_predict,
        "in process: FastMargins": FastMargins(booster, rows[:64]),
    }
    for cell in cells:
        if cell.name not in IN_PROCESS:
            continue
        for name, way in ways.items():
            for _ in range(report.rounds):
                measured = _timed(way, rows[: cell.rows], report.seconds / 4)
                report.measured[cell.name][name].append(measured)


def _timed(way: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, seconds: float) -> Measured:
    spent, cpu = [], time.process_time()
    began = now = time.perf_counter()
    while now - began < seconds:
        way(rows)
        last, now = now, time.perf_counter()
        spent.append(now - last)
    p50, p99 = np.percentile(spent, [50, 99]) * 1e6
    cpu = (time.process_time() - cpu) / len(spent) * 1e6
    return Measured(len(spent) / (now - began), cpu, float(p50), float(p99), 0)


if __name__ == "__main__":
    main()
