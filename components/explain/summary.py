"""What an explanation says, in sentences made of its numbers."""

from collections.abc import Mapping
from typing import Any

LEADING = 3
NOTABLE = 0.1


def summary(document: Mapping[str, Any]) -> list[str]:
    """Lines for a person: what matters, which way it moves the answer, and what acts together.

    Args:
        document: the explanation, with columns, dependence, slices and interactions.
    """
    lines = []
    shapes = {shape["column"]: shape for shape in document["dependence"]}
    unit = unit_of(document)
    for place, column in enumerate(document["columns"][:LEADING]):
        if column["mean"] == 0:
            continue
        first = "moves the answer most" if place == 0 else "comes next"
        text = f"{column['column']} {first}: by {column['mean']:.3g} {unit} on average, "
        text += f"{column['share']:.0%} of all movement."
        lines.append(f"{text} {_shape(shapes.get(column['column']))}".strip())
    idle = [column["column"] for column in document["columns"] if column["share"] < 0.001]
    if idle:
        names = ", ".join(idle[:5]) + (f" and {len(idle) - 5} more" if len(idle) > 5 else "")
        lines.append(f"{names}: next to no effect (below 0.1% of all movement).")
    pairs = document["interactions"]["pairs"]
    if pairs and pairs[0]["mean"] > 0:
        share = document["interactions"]["share"]
        one, other = pairs[0]["columns"]
        lines.append(
            f"{share:.0%} of the movement comes from columns acting together, most from {one} "
            f"with {other} ({pairs[0]['mean']:.3g} {unit} on average)."
        )
    lines += _slices(document)
    return lines


def unit_of(document: Mapping[str, Any]) -> str:
    """What contributions are measured in."""
    if document["task"] == "regression":
        return f"{'in the logarithm ' * (document['link'] == 'log')}of {document['label']}"
    if document["task"] == "ranking":
        return "of the score"
    if document["task"] == "binary":
        return f"in the log-odds of {document['positive_class']}"
    return "in the margin of a class"


def _shape(shape: Mapping[str, Any] | None) -> str:
    if not shape or len(shape["points"]) < 2:
        return ""
    points = shape["points"]
    way = {"up": "Larger values move it up", "down": "Larger values move it down"}
    if shape["kind"] == "private":
        return f"{way[shape['trend']]}." if shape["trend"] in way else ""
    if shape["kind"] == "value":
        low, high = points[0], points[-1]
        return (
            f"It moves it down most for {low['value']} ({low['mean']:+.3g}) and up most for "
            f"{high['value']} ({high['mean']:+.3g})."
        )
    first, last = points[0], points[-1]
    if shape["trend"] in way:
        said = way[shape["trend"]]
        return (
            f"{said}: from {first['mean']:+.3g} near {first['value']:.4g} to {last['mean']:+.3g} "
            f"near {last['value']:.4g}."
        )
    peak = max(points, key=lambda point: abs(point["mean"]))
    return f"Not one way: its largest push is {peak['mean']:+.3g}, near {peak['value']:.4g}."


def _slices(document: Mapping[str, Any]) -> list[str]:
    found = sorted(
        document["slices"],
        key=lambda part: -abs(part["differs"]["share"] - part["differs"]["overall"]),
    )
    return [
        f"Where {part['slice']}, {part['differs']['column']} makes {part['differs']['share']:.0%} "
        f"of the movement, against {part['differs']['overall']:.0%} in all rows."
        for part in found[:2]
        if abs(part["differs"]["share"] - part["differs"]["overall"]) >= NOTABLE
    ]
