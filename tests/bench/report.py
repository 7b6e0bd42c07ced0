"""The figures of a run: in the terminal, as JSON, and as Markdown."""

import datetime
import json
import os
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.cells import CELLS

BASE = "stock"
HEAD = ["cell", "server", "requests/s", "x", "p50 us", "CPU us a request", "x by CPU", "failed"]
SERVERS = ["server", "CPU s to ready", "s to ready", "MiB at ready", "MiB after load"]


@dataclass(frozen=True)
class Measured:
    """One peer in one cell in one round."""

    rate: float
    cpu: float
    p50: float
    p99: float
    failed: int


Turns = dict[str, dict[str, list[Measured]]]
Reasons = dict[str, dict[str, str]]


def _machine() -> str:
    """The processor, its cores, and how busy it is."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    load = os.getloadavg()[0]
    return f"{names[0] if names else 'unknown'}, {os.cpu_count()} cores, load {load:.1f} before"


@dataclass
class Report:
    """All of a run."""

    rounds: int
    seconds: float
    date: str = field(default_factory=lambda: str(datetime.datetime.now(datetime.UTC).date()))
    machine: str = field(default_factory=_machine)
    measured: Turns = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    unsupported: Reasons = field(default_factory=lambda: defaultdict(dict))
    servers: dict[str, dict[str, float]] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)

    def median(self, cell: str, peer: str, figure: str) -> float:
        """The median over the rounds."""
        return statistics.median([getattr(turn, figure) for turn in self.measured[cell][peer]])

    def ratio(self, above: tuple[str, str], below: tuple[str, str], figure: str) -> float | None:
        """The median of a figure's ratio over the rounds: of (cell, peer) to (cell, peer)."""
        upper, lower = (self.measured[cell][peer] for cell, peer in (above, below))
        pairs = [
            getattr(one, figure) / getattr(other, figure)
            for one, other in zip(upper, lower, strict=False)
            if getattr(other, figure)
        ]
        return statistics.median(pairs) if pairs else None

    def rows(self) -> list[list[str]]:
        """The table: a row for each peer in each cell."""
        rows = []
        for cell in list(self.measured):
            for peer in list(self.measured[cell]):
                turns = self.measured[cell][peer]
                if not turns:
                    continue
                speed = self.ratio((cell, peer), (cell, BASE), "rate")
                cpu = self.ratio((cell, BASE), (cell, peer), "cpu")
                figures = [self.median(cell, peer, name) for name in ("rate", "p50", "cpu")]
                rate, p50, spent = (f"{figure:,.0f}" for figure in figures)
                failed = str(sum(turn.failed for turn in turns))
                rows.append([cell, peer, rate, _times(speed), p50, spent, _times(cpu), failed])
            rows += [[cell, peer, "not supported", *[""] * 5] for peer in self.unsupported[cell]]
        return rows

    def pairs(self) -> dict[str, float]:
        """Our own ratios: named columns to lists, categories to numbers, by CPU a request."""
        found: dict[str, float | None] = {}
        for name in CELLS:
            if name.startswith("v1-dict"):
                plain = name.replace("v1-dict", "v1")
                found[f"dict to list rows, {plain}"] = self.ratio(
                    (name, "ours"), (plain, "ours"), "cpu"
                )
            found[f"categorical to numeric, {name}"] = self.ratio(
                (name, "ours-categorical"), (name, "ours"), "cpu"
            )
        return {name: ratio for name, ratio in found.items() if ratio is not None}


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def print_tables(report: Report) -> None:
    """Show the figures in the terminal."""
    console = Console(width=None if os.isatty(1) else 140)
    for title, head, rows in _tables(report):
        table = Table(*head, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def write_files(report: Report, root: Path) -> None:
    """Write `serving.json` and `serving.md`."""
    turns = {
        cell: {peer: [asdict(turn) for turn in turns] for peer, turns in peers.items()}
        for cell, peers in report.measured.items()
    }
    content = vars(report) | {"measured": turns, "pairs": report.pairs()}
    (root / "serving.json").write_text(json.dumps(content, indent=1))
    text = [f"{report.machine}; {report.date}; {report.rounds} rounds of {report.seconds:g} s.\n"]
    for title, head, rows in _tables(report):
        lines = [head, ["---"] * len(head), *rows]
        text += [f"\n{title}\n\n", *("| " + " | ".join(line) + " |\n" for line in lines)]
    (root / "serving.md").write_text("".join(text))


def _tables(report: Report) -> list[tuple[str, list[str], list[list[str]]]]:
    servers = [[name, *map(str, figures.values())] for name, figures in report.servers.items()]
    pairs = [[name, f"{ratio:.2f}"] for name, ratio in report.pairs().items()]
    made = [
        [peer, ", ".join(f"{name} {version}" for name, version in found.items())]
        for peer, found in report.versions.items()
    ]
    return [
        (f"x: to '{BASE}' in the same round, median of the rounds", HEAD, report.rows()),
        ("Start and memory", SERVERS, servers),
        ("Of our own, CPU a request", ["pair", "ratio"], pairs),
        ("Versions", ["server", "made of"], made),
    ]
