"""The change rule of the model gate: the candidate against the champion, on the same rows."""

import logging
from dataclasses import dataclass
from pathlib import Path

from shipway.components.lib.decision import Rule
from shipway.components.lib.errors import DataError, ModelPackageError
from shipway.components.lib.held_out import HeldOut, score_held_out
from shipway.components.lib.metrics import MAIN_METRIC, compute_metrics, paired_difference
from shipway.components.lib.model_package import ModelPackage, load_package
from shipway.components.lib.model_store import open_store

logger = logging.getLogger(__name__)

NAME = "champion"


@dataclass(frozen=True)
class Comparison:
    """The change rule, and both models' metrics where they could be compared.

    Attributes:
        rule: of the gate.
        version: of the champion; empty when there is none.
        candidate: metrics by name.
        champion: metrics by name, on the same rows.
        mine: the test rows, scored by the candidate.
        theirs: the same rows, scored by the champion.
    """

    rule: Rule
    version: str = ""
    candidate: dict[str, float] | None = None
    champion: dict[str, float] | None = None
    mine: HeldOut | None = None
    theirs: HeldOut | None = None


def compare(candidate: ModelPackage, test: Path, model_name: str, model_store: str) -> Comparison:
    """Compare a candidate with the champion of a model store.

    Args:
        candidate: the model to bless.
        test: Dataset directory of the test rows.
        model_name: under which the champion stands in the store.
        model_store: URI of the store; empty for none.

    Raises:
        StoreError: the store cannot be read. A champion that can be read and not be compared is a
            failing rule instead.
    """
    if not model_store:
        return Comparison(Rule(NAME, "pass", "No model store was given: nothing to compare with."))
    store = open_store(model_store)
    champion = store.champion(model_name)
    if champion is None:
        text = f"'{model_name}' has no champion yet: this is the first model."
        return Comparison(Rule(NAME, "pass", text))
    version = str(champion.version)
    if champion.digest == candidate.digest:
        text = f"This model is the champion itself, version {version}."
        return Comparison(Rule(NAME, "pass", text), version)
    try:
        package = load_package(store.download(model_name, version))
    except ModelPackageError as error:
        cure = "Roll back to a version that is whole, or repair the store."
        return _refused(version, f"cannot be loaded: {error} {cure}")
    return _compare(candidate, package, test, version)


def _compare(
    candidate: ModelPackage, champion: ModelPackage, test: Path, version: str
) -> Comparison:
    other = _difference_of_kind(candidate, champion)
    if other:
        cure = "Give the new model a model_name of its own."
        return _refused(version, f"{other}, so the two cannot be compared. {cure}")
    mine = score_held_out(candidate, test)
    try:
        theirs = score_held_out(champion, test)
    except DataError as error:
        cure = "Bring back what it needs, or give the new model a model_name of its own."
        return _refused(version, f"cannot be scored on these test rows: {error} {cure}")
    rule = _change_rule(mine, theirs, version)
    both = [compute_metrics(each.target, each.y, each.prediction) for each in (mine, theirs)]
    return Comparison(rule, version, both[0], both[1], mine, theirs)


def _difference_of_kind(candidate: ModelPackage, champion: ModelPackage) -> str:
    """How the two models predict different things; empty when they do not."""
    mine, theirs = candidate.signature, champion.signature
    for name in ("task", "label", "classes", "positive_class"):
        if getattr(mine, name) != getattr(theirs, name):
            held, wanted = getattr(theirs, name), getattr(mine, name)
            return f"has {name} {held!r} where the candidate has {wanted!r}"
    return ""


def _change_rule(mine: HeldOut, theirs: HeldOut, version: str) -> Rule:
    main, rows = MAIN_METRIC[mine.target.task], len(mine.y)
    gain = paired_difference(mine.target, mine.y, mine.prediction, theirs.prediction, main)
    if gain is None:
        text = f"{main} of candidate and champion {version} is undefined on the test rows."
        return Rule(NAME, "fail", f"{text} Bring test rows of every class.", n=rows)
    ends = (gain.low, gain.high)
    against = f"On the same {rows:,} test rows the candidate's {main} is"
    size = f"by {abs(gain.value):.4g} ({ends[0]:.4g} to {ends[1]:.4g})"
    if gain.high < 0:
        text = (
            f"{against} worse than that of champion {version} {size}, beyond chance. Keep the "
            "champion, or find out what the new data or parameters cost."
        )
        return Rule(NAME, "fail", text, gain.value, ">= 0", "", rows, ends)
    word = "better than" if gain.low > 0 else "not worse beyond chance than"
    text = f"{against} {word} that of champion {version}, difference {gain.value:.4g} "
    text += f"({ends[0]:.4g} to {ends[1]:.4g}; positive is better)."
    return Rule(NAME, "pass", text, gain.value, ">= 0", "", rows, ends)


def _refused(version: str, reason: str) -> Comparison:
    logger.warning("Champion %s %s", version, reason)
    return Comparison(Rule(NAME, "fail", f"Champion {version} {reason}"), version)
