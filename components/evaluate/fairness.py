"""Fairness by protected column: rates of each group, and their differences and ratios.

Each group is held against the largest one. A group of too few rows is shown and not judged: its
interval would hold everything. Protected is who must not be disadvantaged; a protected column may
be private besides. Its groups are named all the same, as nobody could act on the figures otherwise,
but for those of so few rows that they point at persons.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.private import private_columns
from shipway.components.lib.proportions import difference, ratio, share
from shipway.components.lib.slices import Slice, slices_of, unnamed
from shipway.components.lib.tables import read_schema

MIN_ROWS = 30
RATES = {
    "selection_rate": "Share of the group that gets the positive answer",
    "true_positive_rate": "Share of its positive rows that are found",
    "false_positive_rate": "Share of its negative rows that are picked",
    "precision": "Share of its picked rows that are positive",
    "accuracy": "Share of its rows that are answered rightly",
}


def fairness(
    test: Path, label: str, columns: Sequence[str], held: HeldOut, used: Sequence[str]
) -> list[dict[str, Any]]:
    """Measure the groups of each protected column.

    Args:
        test: Dataset directory of the test rows.
        label: the label's column.
        columns: the protected columns; numbers are taken in four ranges.
        held: the test rows, scored.
        used: raw columns that the model takes.

    Returns:
        A JSON object a column: column, used (whether the model takes it), reference (the largest
        group), groups, gaps (of each other group and rate: difference and ratio with intervals),
        worst (by rate: the largest difference and the smallest ratio among the judged groups).

    Raises:
        ConfigurationError: a column is not in the test table, or is the label.
    """
    schema = read_schema(test)
    names = schema.names
    for name in columns:
        if name not in names or name == label:
            why = "is the label" if name == label else "is not in the test table"
            raise ConfigurationError(
                f"protected_columns names '{name}', which {why}.{nearest(name, names)} Keep the "
                "column in the table: exclude_columns removes it from the evaluation, too."
            )
    private = private_columns(schema)
    return [
        _column(name, _groups(test, name, name in private), held, name in used) for name in columns
    ]


def _groups(test: Path, name: str, private: bool) -> list[Slice]:
    parts = slices_of(test, name, by_value=True)
    return [
        unnamed(name, number, part) if private and part.rows.sum() < MIN_ROWS else part
        for number, part in enumerate(parts, 1)
    ]


def _column(name: str, parts: Sequence[Slice], held: HeldOut, used: bool) -> dict[str, Any]:
    parts = sorted(parts, key=lambda part: -int(part.rows.sum()))
    groups = [_group(part, held) for part in parts]
    found: dict[str, Any] = {"column": name, "used": used, "groups": groups, "gaps": []}
    found["reference"] = groups[0]["group"] if groups else ""
    if groups:
        for other in groups[1:]:
            for rate in other["rates"]:
                gap = _gap(rate, other, groups[0])
                if gap:
                    found["gaps"].append(gap)
    found["worst"] = _worst(found["gaps"])
    return found


def _group(part: Slice, held: HeldOut) -> dict[str, Any]:
    y = held.y[part.rows]
    group: dict[str, Any] = {"group": part.name, "n": len(y), "rates": {}}
    if held.target.task == "regression":
        return group | {"rates": _errors(y, held, part)}
    assert held.prediction.labels is not None
    labels = held.prediction.labels[part.rows]
    counted = {"accuracy": (int((labels == y).sum()), len(y))}
    if held.target.task == "binary":
        said, true = labels == 1, y == 1
        counted |= {
            "selection_rate": (int(said.sum()), len(y)),
            "true_positive_rate": (int((said & true).sum()), int(true.sum())),
            "false_positive_rate": (int((said & ~true).sum()), int((~true).sum())),
            "precision": (int((said & true).sum()), int(said.sum())),
        }
        group["base_rate"] = float(true.mean()) if len(y) else None
    for name in RATES:
        hits, n = counted.get(name, (0, 0))
        if n:
            found = share(hits, n)
            group["rates"][name] = {
                "value": found.value, "low": found.low, "high": found.high, "hits": hits, "n": n,
            }  # fmt: skip
    return group


def _errors(y: np.ndarray, held: HeldOut, part: Slice) -> dict[str, Any]:
    """Mean error (prediction minus truth) and mean absolute error of a group."""
    assert held.prediction.values is not None
    error = held.prediction.values[part.rows] - y
    rates = {}
    for name, values in (("mean_error", error), ("mean_absolute_error", np.abs(error))):
        wide = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(y)) if len(y) > 1 else np.inf
        if np.isfinite(wide):
            mean = float(values.mean())
            rates[name] = {
                "value": mean, "low": mean - wide, "high": mean + wide, "n": len(y), "hits": 0,
            }  # fmt: skip
    return rates


def _gap(rate: str, group: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any] | None:
    mine, theirs = group["rates"].get(rate), reference["rates"].get(rate)
    if mine is None or theirs is None:
        return None
    gap = {
        "group": group["group"],
        "rate": rate,
        "n": mine["n"],
        "judged": min(mine["n"], theirs["n"]) >= MIN_ROWS,
    }
    if rate in RATES:
        one, other = share(mine["hits"], mine["n"]), share(theirs["hits"], theirs["n"])
        value, low, high = difference(one, other)
        gap["difference"] = {"value": value, "low": low, "high": high}
        quotient = ratio(one, other)
        if quotient:
            gap["ratio"] = dict(zip(("value", "low", "high"), quotient, strict=True))
        return gap
    value = mine["value"] - theirs["value"]
    wide = np.hypot(mine["value"] - mine["low"], theirs["value"] - theirs["low"])
    gap["difference"] = {"value": value, "low": float(value - wide), "high": float(value + wide)}
    return gap


def _worst(gaps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By rate the gap that is widest among the groups of rows enough."""
    worst: dict[str, Any] = {}
    for gap in gaps:
        if not gap["judged"]:
            continue
        kept = worst.setdefault(gap["rate"], {})
        old = kept.get("difference")
        if old is None or abs(gap["difference"]["value"]) > abs(old["value"]):
            kept["difference"] = gap["difference"] | {"group": gap["group"], "n": gap["n"]}
        ends = _ratio(gap)
        if ends and ("ratio" not in kept or ends["value"] < kept["ratio"]["value"]):
            kept["ratio"] = ends | {"group": gap["group"], "n": gap["n"]}
    return worst


def _ratio(gap: dict[str, Any]) -> dict[str, float | None] | None:
    """The smaller rate over the larger: a ratio of 1.5 is as far from equal as one of 2/3."""
    ends = gap.get("ratio")
    if ends is None:  # a rate of nothing is as far as can be, and leaves no interval to go by
        apart = gap["rate"] in RATES and gap["difference"]["value"] != 0
        return {"value": 0.0, "low": None, "high": None} if apart else None
    if ends["value"] <= 1:
        return dict(ends)
    return {"value": 1 / ends["value"], "low": 1 / ends["high"], "high": 1 / ends["low"]}
