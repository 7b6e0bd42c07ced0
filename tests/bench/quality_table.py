"""The table of the quality benchmark, and how often ours wins, ties and loses."""

from collections.abc import Mapping
from typing import Any

OURS = ("default", "tuned")
BEST = "tuned, quality=best"
HEAD = (
    "| table | metric | model | value | better than ours by | s | wanted | |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
)


def lines_of(
    name: str, metric: str, bound: float, ways: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """A line for each way of training on one table."""
    lines = []
    for way, facts in ways.items():
        value = facts["metrics"][metric]
        better = facts["difference"]
        gap = f"{better[0]:+.4g} ({better[1]:+.4g} to {better[2]:+.4g})" if better else ""
        gap += f", {facts['against']}" if better else ""
        reached = value >= bound if metric == "auc" else value <= bound
        sign = ">=" if metric == "auc" else "<="
        cells = [name, metric, way, f"{value:.5g}", gap, f"{facts['seconds']:.0f}"]
        cells += [f"{sign} {bound:g}", "yes" if reached else "no"]
        lines.append("| " + " | ".join(cells) + " |\n")
    return lines


def score(raw: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Against each other way on how many tables ours is better, as good, or worse beyond chance."""
    lines = ["| ours against | better | as good | worse |", "| --- | --- | --- | --- |"]
    for way in dict.fromkeys(
        way for ways in raw.values() for way in ways if way not in (*OURS, BEST)
    ):
        gaps = [ways[way]["difference"] for ways in raw.values() if way in ways]
        better = sum(gap[2] < 0 for gap in gaps if gap)
        worse = sum(gap[1] > 0 for gap in gaps if gap)
        lines.append(f"| {way} | {better} | {len(gaps) - better - worse} | {worse} |")
    return "\n".join(lines) + "\n"
