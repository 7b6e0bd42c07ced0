"""Tables of every kind of column, and the step that compares two."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.tables import write_table
from shipway.components.monitor.logic import Request, detect, run_comparison
from shipway.components.monitor.rules import decide
from shipway.components.monitor.source import Source

DAYS = 90


def columns(rows: int, seed: int) -> dict[str, np.ndarray]:
    """A column of each kind, independent of each other, but for `twin`, which follows `amount`."""
    rng = np.random.default_rng(seed)
    amount = rng.normal(10, 2, rows)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    cities = np.array(["Berlin", "Paris", "Rome", "Madrid"], dtype=object)
    words = np.array(["late", "again", "the", "train", "was", "and", "cold"], dtype=object)
    return {
        "amount": amount,
        "twin": amount + rng.normal(0, 0.3, rows),
        "skewed": np.where(rng.random(rows) < 0.6, 0.0, rng.exponential(5, rows)),
        "count": rng.poisson(3, rows).astype(float),
        "text_number": np.array([f"{v:.1f}" for v in rng.normal(5, 1, rows)], dtype=object),
        "city": rng.choice(cities, rows, p=[0.5, 0.3, 0.15, 0.05]),
        "shop": np.array([f"s{i}" for i in rng.integers(0, 400, rows)], dtype=object),
        "open": rng.random(rows) < 0.3,
        "note": np.array(
            [" ".join(rng.choice(words, rng.integers(4, 9))) + f" {i}" for i in range(rows)],
            dtype=object,
        ),
        "at": np.array(
            [start + timedelta(seconds=float(s)) for s in rng.uniform(0, DAYS * 86_400, rows)]
        ),
        "row_id": np.arange(rows) + 1000 * seed,
        "constant": np.full(rows, 7.0),
        "nothing": np.full(rows, None, dtype=object),
    }


def table(values: dict[str, np.ndarray]) -> pa.Table:
    return pa.table({name: pa.array(v, from_pandas=True) for name, v in values.items()})


def judge(base: pa.Table, current: pa.Table, **more: object) -> Decision:
    """The decision on two tables in memory."""
    request = Request(**more)
    sources = (Source(Path("here"), lambda rows=rows: iter([rows])) for rows in (base, current))
    comparison = run_comparison(*sources, request)
    return decide(comparison, request.false_alarm_rate, request.label, request.prediction)


class Gate:
    """Runs the step on two tables on disk and keeps what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def judge(self, base: pa.Table, current: pa.Table, **more: object) -> Decision:
        for name, rows in (("base", base), ("current", current)):
            write_table(rows, self.folder / name)
        return self.run(Request(**more))

    def run(self, request: Request) -> Decision:
        detect(
            self.folder / "base",
            self.folder / "current",
            request,
            self.folder / "decision.json",
            self.folder / "page.html",
        )
        return Decision.load(self.folder / "decision.json")

    @property
    def page(self) -> str:
        return (self.folder / "page.html").read_text()


def moved(decision: Decision) -> dict[str, Rule]:
    """The rules that raise an alarm, by column."""
    found = decision.failures + decision.warnings
    return {rule.slice: rule for rule in found if rule.name != "rows"}
