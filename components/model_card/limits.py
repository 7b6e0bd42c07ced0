"""What a model was seen not to do well, in sentences: limits that come of the evidence itself."""

from collections.abc import Mapping
from typing import Any

WORST = 3
SURE = 0.05


def limits_of(evaluation: Mapping[str, Any], decided: Mapping[str, Any]) -> list[str]:
    """The limits that an evaluation shows; an empty list says that it showed none.

    Args:
        evaluation: the JSON document of the evaluation.
        decided: the model gate's verdict, failures and warnings.
    """
    return [
        *decided["failures"],
        *decided["warnings"],
        *_queries(evaluation),
        *_regions(evaluation),
        *_calibration(evaluation),
        *_fairness(evaluation),
        *_robustness(evaluation),
        *_time(evaluation),
    ]


def _regions(evaluation: Mapping[str, Any]) -> list[str]:
    found = (evaluation.get("regions") or {}).get("found", [])
    return [
        f"Weaker where {part['slice']}: loss {part['evidence']['loss']:.3g} against "
        f"{part['evidence']['loss_elsewhere']:.3g} elsewhere ({part['n']:,} rows)."
        for part in found[:WORST]
    ]


def _queries(evaluation: Mapping[str, Any]) -> list[str]:
    found = evaluation.get("ranking") or {}
    if not found:
        return []
    lines = [
        f"A score orders rows of one query ('{found['query_column']}') and compares none of two; "
        "calibration and threshold are not applicable."
    ]
    if unmeasured := found["queries"] - found["measured"]:
        lines.append(
            f"{unmeasured:,} of {found['queries']:,} test queries have no relevant row: how well "
            "it orders such cannot be measured."
        )
    return lines


def _calibration(evaluation: Mapping[str, Any]) -> list[str]:
    test = evaluation.get("calibration_test") or {}
    if not test or test["p"] > SURE:
        return []
    return [
        f"Probabilities are off by {test['ece']:.3g} on average, more than chance explains "
        f"({test['by_chance']:.3g})."
    ]


def _fairness(evaluation: Mapping[str, Any]) -> list[str]:
    lines = []
    for found in evaluation.get("fairness") or []:
        for rate, gaps in found["worst"].items():
            gap = gaps["difference"]
            if gap["low"] > 0 or gap["high"] < 0:
                name = rate.replace("_", " ").capitalize()
                lines.append(
                    f"{name} differs by {gap['value']:+.3g} ({gap['low']:+.3g} to "
                    f"{gap['high']:+.3g}) between {gap['group']} and {found['reference']}."
                )
        small = [group["group"] for group in found["groups"] if group["n"] < 30]
        if small:
            names = ", ".join(small[:5])
            lines.append(f"Fairness for {names} cannot be judged: too few rows.")
    if not evaluation.get("fairness"):
        lines.append("Fairness was not measured: no protected column was named.")
    return lines


def _robustness(evaluation: Mapping[str, Any]) -> list[str]:
    found = evaluation.get("robustness") or {}
    return [
        f"{one['column']} {one['kind']}: {found['metric']} falls from {found['value']:.3g} to "
        f"{one['value']:.3g}."
        if found["value"] >= one["value"]
        else f"{one['column']} {one['kind']}: {found['metric']} rises from {found['value']:.3g} to "
        f"{one['value']:.3g}."
        for one in (found.get("disturbances") or [])[:WORST]
        if one["drop"] > 0
    ]


def _time(evaluation: Mapping[str, Any]) -> list[str]:
    wear = (evaluation.get("stability") or {}).get("wear")
    if not evaluation.get("stability"):
        return ["Stability over time was not measured: no time column was named."]
    if wear and wear["low"] > 0:
        return [
            f"It wears off: the later half of the test rows is worse by {wear['value']:.3g} "
            f"({wear['low']:.3g} to {wear['high']:.3g})."
        ]
    return []
