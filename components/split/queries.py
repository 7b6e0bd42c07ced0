"""Splits of a ranking: a query goes to one split as a whole, and must have an order to learn."""

from pathlib import Path

import numpy as np

from shipway.components.lib.decision import Rule
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.queries import query_codes
from shipway.components.split.scan import read_column
from shipway.components.split.subject import Subject

MAX_EMPTY = 0.5


def query_strategy(strategy: str) -> str:
    """The only strategy that keeps queries whole.

    Raises:
        ConfigurationError: another one is asked for.
    """
    if strategy not in ("auto", "group"):
        raise ConfigurationError(
            f"split_strategy='{strategy}' would tear queries apart, and task='ranking' orders the "
            "rows of a query: use 'group' or 'auto', which keep them whole."
        )
    return "group"


def check_queries(dataset: Path, name: str) -> None:
    """Refuse rows that have no query.

    Raises:
        DataError: a row has none.
    """
    for column in read_column(dataset, name):
        query_codes(column, name)


def query_rule(subject: Subject) -> Rule:
    """How many queries have an order to learn: rows of one grade alone have none."""
    _, codes = np.unique(subject.scan.groups, return_inverse=True)
    sizes = np.bincount(codes)
    low, high = np.full(len(sizes), np.inf), np.full(len(sizes), -np.inf)
    np.minimum.at(low, codes, subject.y)
    np.maximum.at(high, codes, subject.y)
    alike = low == high
    share, nothing = float(alike.mean()), float((high <= 0).mean())
    sentence = (
        f"{len(sizes):,} queries of {np.median(sizes):.0f} rows (median); {share:.1%} have one "
        f"grade for all their rows, {nothing:.1%} none that is relevant: nothing is learnt from "
        "those, and the latter are not measured."
    )
    verdict = "warn" if share > MAX_EMPTY else "pass"
    if verdict == "warn":
        sentence += " Grade more rows of each query."
    bound = f"<= {MAX_EMPTY:.0%}"
    return Rule("queries", verdict, sentence, share, bound, subject.group_column, len(sizes))
