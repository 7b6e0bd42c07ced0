"""What an evaluation says against a model, in sentences; whether it ships the gate decides."""

from collections.abc import Mapping
from typing import Any

SURE = 0.05
NAMED = 3


def reasons_against(document: Mapping[str, Any]) -> list[str]:
    """What speaks against the model beyond chance, the gravest first.

    Args:
        document: the evaluation, as its JSON file holds it.
    """
    main = document["main_metric"]
    lines = [*_slices(document, main), *_linear(document, main), *_calibration(document)]
    return lines + _regions(document) + _wear(document)


def _slices(document: Mapping[str, Any], main: str) -> list[str]:
    worse = [p for p in document["slices"] if p.get("gain") and p["gain"]["high"] < 0]
    more = f" (and on {len(worse) - NAMED} more slices)" if len(worse) > NAMED else ""
    return [
        f"Where {part['slice']} ({part['n']:,} rows) it is worse than a constant answer: {main} "
        f"{part['metrics'][main]:.4g}.{more if number == NAMED else ''}"
        for number, part in enumerate(worse[:NAMED], 1)
    ]


def _linear(document: Mapping[str, Any], main: str) -> list[str]:
    gain = document["gains"].get("linear", {}).get(main)
    if not gain or gain["low"] > 0:
        return []
    value = document["baselines"]["linear"][main]
    word = "does better" if gain["high"] < 0 else "does as well, within chance"
    return [f"A linear model {word}: {main} {value:.4g}."]


def _calibration(document: Mapping[str, Any]) -> list[str]:
    test = document["calibration_test"]
    if not test or test["p"] > SURE:
        return []
    return [
        f"Its probabilities are off by {test['ece']:.2g} on average, more than chance explains "
        f"({test['by_chance']:.2g})."
    ]


def _regions(document: Mapping[str, Any]) -> list[str]:
    found = document["regions"]["found"]
    if not found:
        return []
    few = "One region is weaker" if len(found) == 1 else f"{len(found)} regions are weaker"
    return [f"{few} than the rest beyond chance, worst of all where {found[0]['slice']}."]


def _wear(document: Mapping[str, Any]) -> list[str]:
    wear = document["stability"].get("wear")
    if not wear or wear["low"] <= 0:
        return []
    return [f"It wears off: the later half of the rows is worse by {wear['value']:.3g}."]
