"""What a rule can be held against: the evaluation's figures, and both models on the test rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from shipway.components.bless.champion import Comparison
from shipway.components.bless.gates import EACH, Gate
from shipway.components.lib.held_out import HeldOut, rows_of, score_held_out
from shipway.components.lib.metrics import (
    METRIC_NAMES,
    bootstrap_intervals,
    compute_metrics,
    paired_difference,
)
from shipway.components.lib.model_package import ModelPackage
from shipway.components.lib.slices import slices_of
from shipway.components.lib.tables import read_schema


@dataclass(frozen=True)
class Measured:
    """A figure with the ends of its interval where it has one; or why there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    slice: str = ""
    lack: str = ""


class Evidence:
    """Looks figures up, and measures those that the evaluation does not hold."""

    def __init__(
        self, evaluation: Mapping[str, Any], package: ModelPackage, test: Path, found: Comparison
    ) -> None:
        """Take the evaluation and what stands behind it.

        Args:
            evaluation: the JSON document.
            package: the candidate.
            test: Dataset directory of the test rows.
            found: the comparison with the champion.
        """
        self._evaluation = evaluation
        self._package = package
        self._test = test
        self._found = found

    @cached_property
    def _held(self) -> HeldOut:
        return self._found.mine or score_held_out(self._package, self._test)

    def look_up(self, gate: Gate) -> list[Measured]:
        """What a rule asks for: one figure, or one for each slice."""
        metrics = METRIC_NAMES[str(self._evaluation["task"])]
        if gate.metric not in metrics:
            return [self._by_path(gate)]
        if gate.slice:
            return [self._on_rows(gate, name, rows) for name, rows in self._slices(gate)] or [
                Measured(slice=gate.slice, lack=self._why_no_slice(gate))
            ]
        rows = int(self._evaluation["rows"])
        if gate.against == "champion":
            return [self._on_rows(gate, "", np.ones(len(self._held.y), dtype=bool))]
        if gate.against:
            gains = (self._evaluation.get("gains") or {}).get(gate.against)
            if gains is None:
                return [Measured(lack=f"the evaluation has no baseline '{gate.against}'")]
            return [_of(gains.get(gate.metric), rows)]
        return [_of(self._evaluation["metrics"].get(gate.metric), rows)]

    def _slices(self, gate: Gate) -> list[tuple[str, np.ndarray]]:
        """The slices of a rule by name; those of "each" that are large enough."""
        if gate.slice == EACH:
            columns = list(dict.fromkeys(_column(p["slice"]) for p in self._evaluation["slices"]))
            names = {part["slice"] for part in self._evaluation["slices"]}
        else:
            columns, names = [_column(gate.slice)], {gate.slice}
        known = read_schema(self._test).names
        parts = [
            part
            for column in columns
            if column in known
            for part in slices_of(self._test, column, by_value=gate.slice != EACH)
            if part.name in names
        ]
        if gate.slice == EACH:
            parts = [part for part in parts if part.rows.sum() >= gate.min_rows]
        return [(part.name, part.rows) for part in parts]

    def _why_no_slice(self, gate: Gate) -> str:
        if gate.slice == EACH:
            return f"no slice of the evaluation has {gate.min_rows} rows"
        return f"no test row is of slice '{gate.slice}'"

    def _on_rows(self, gate: Gate, name: str, rows: np.ndarray) -> Measured:
        held, n = self._held, int(rows.sum())
        y, mine = held.y[rows], rows_of(held.prediction, rows)
        if name and n < gate.min_rows:
            return Measured(slice=name, n=n, lack=f"it has {n} rows, not {gate.min_rows}")
        if gate.against == "champion":
            if self._found.theirs is None:
                return Measured(slice=name, n=n, lack=f"there is none: {self._found.rule.sentence}")
            theirs = rows_of(self._found.theirs.prediction, rows)
            gain = paired_difference(held.target, y, mine, theirs, gate.metric)
            if gain is None:
                return Measured(slice=name, n=n)
            return Measured(gain.value, gain.low, gain.high, n, name)
        if gate.against:
            return Measured(slice=name, n=n, lack="baselines are measured on all rows alone")
        value = compute_metrics(held.target, y, mine).get(gate.metric)
        ends = bootstrap_intervals(held.target, y, mine, [gate.metric]).get(gate.metric)
        low, high = ends or (None, None)
        return Measured(value, low, high, n, name)

    def _by_path(self, gate: Gate) -> Measured:
        """A figure of the evaluation that is no metric."""
        if gate.slice or gate.against:
            return Measured(lack="only a metric of the task has slices and comparisons")
        first, *rest = gate.metric.split(".")
        rows = int(self._evaluation["rows"])
        document = self._evaluation
        if first == "fairness" and len(rest) >= 3:
            column, rate, measure = ".".join(rest[:-2]), rest[-2], rest[-1]
            for found in document.get("fairness") or []:
                if found["column"] == column:
                    gap = found["worst"].get(rate, {}).get(measure)
                    return _of(_absolute(gap) if measure == "difference" else gap, None, gap)
            return Measured(lack=f"'{column}' is not among protected_columns")
        if first == "cost" and len(rest) == 1:
            return _of({"value": (document.get("cost") or {}).get(rest[0])}, None)
        if first == "calibration" and len(rest) == 1:
            return _of({"value": (document.get("calibration_test") or {}).get(rest[0])}, rows)
        if gate.metric == "stability.wear":
            return _of((document.get("stability") or {}).get("wear"), rows)
        if gate.metric == "robustness.turned":
            flips = document.get("flips") or {}
            return _of(flips.get("turned"), flips.get("rows"))
        if gate.metric == "robustness.drop":
            worst = ((document.get("robustness") or {}).get("disturbances") or [{}])[0]
            return _of({"value": worst.get("drop")}, rows)
        known = ", ".join(METRIC_NAMES[str(document["task"])])
        return Measured(
            lack=f"there is no such figure; take one of {known}, cost.*, calibration.ece, "
            "calibration.p, stability.wear, robustness.drop, robustness.turned or "
            "fairness.COLUMN.RATE.ratio"
        )


def _of(figure: Mapping[str, Any] | None, rows: int | None, about: Any = None) -> Measured:
    if not figure or not isinstance(figure.get("value"), int | float):
        return Measured(n=rows)
    where = str((about or {}).get("group", ""))
    n = (about or {}).get("n", rows)
    return Measured(figure["value"], figure.get("low"), figure.get("high"), n, where)


def _absolute(gap: Mapping[str, Any] | None) -> dict[str, float] | None:
    """The size of a difference, whichever group it favours."""
    if not gap:
        return None
    low, high = gap["low"], gap["high"]
    ends = sorted((abs(low), abs(high)))
    return {
        "value": abs(gap["value"]), "low": 0.0 if low <= 0 <= high else ends[0], "high": ends[1],
    }  # fmt: skip


def _column(name: str) -> str:
    """The column of a slice's name: "city=Rome", "3 < x <= 4" or "x <= 3"."""
    if " <= " in name or " < " in name:
        parts = name.replace(" <= ", " < ").split(" < ")
        return parts[1] if len(parts) == 3 else _side(parts)
    return name.split("=", 1)[0]


def _side(parts: list[str]) -> str:
    try:
        float(parts[0])
    except ValueError:
        return parts[0]
    return parts[1]
