"""How the label's values are shared out: what is rare is learnt and measured badly."""

import numpy as np

from shipway.components.lib.decision import Rule
from shipway.components.split.assignment import NAMES
from shipway.components.split.queries import query_rule
from shipway.components.split.subject import Subject

MIN_SHARE = 0.01
MIN_TEST_ROWS = 10
ONE_VALUE = 0.5


def balance_rule(subject: Subject) -> Rule:
    """Rare classes, or a number that is one value most of the time."""
    if subject.target.ranked:
        return query_rule(subject)
    if subject.target.kind.numeric:
        return _values(subject)
    classes = subject.target.classes
    counts = np.stack(
        [np.bincount(subject.y[subject.parts == p], minlength=len(classes)) for p in range(3)]
    )
    totals = counts.sum(axis=0)
    rarest = int(totals.argmin())
    share, tested = float(totals[rarest] / totals.sum()), int(counts[2, rarest])
    name = classes[rarest]
    held = ", ".join(f"{counts[p, rarest]:,} in {NAMES[p]}" for p in range(3))
    if share >= MIN_SHARE and tested >= MIN_TEST_ROWS:
        sentence = f"The rarest class, '{name}', has {share:.1%} of the rows ({held})."
        return Rule("imbalance", "pass", sentence, share, f">= {MIN_SHARE:.0%}", n=subject.rows)
    sentence = (
        f"Class '{name}' has {share:.2%} of the rows ({held}): its metrics are uncertain. Bring "
        "more rows of it, judge by average precision and not by accuracy, and set the threshold "
        "with care."
    )
    return Rule("imbalance", "warn", sentence, share, f">= {MIN_SHARE:.0%}", n=subject.rows)


def _values(subject: Subject) -> Rule:
    y = subject.known
    values, counts = np.unique(y, return_counts=True)
    share, value = float(counts.max() / len(y)), float(values[counts.argmax()])
    sentence = f"The most common value, {value:g}, has {share:.1%} of the training rows."
    verdict = "warn" if share > ONE_VALUE else "pass"
    if verdict == "warn":
        sentence += " Predict first whether the label is that value, and then how much it is."
    return Rule("imbalance", verdict, sentence, share, f"<= {ONE_VALUE:.0%}", n=len(y))
