"""How good an order is: NDCG, average precision and reciprocal rank of each query.

Gains are 2^relevance - 1 and discounts 1 / log2(1 + place), as XGBoost takes them (C. Burges et
al., "Learning to Rank using Gradient Descent", ICML 2005). Rows of equal score have no order: each
measure is its mean over all orders of them (F. McSherry, M. Najork, "Computing Information
Retrieval Performance Measures Efficiently in the Presence of Tied Scores", ECIR 2008), so that one
score for all rows is worth as much as a random order. A query without a relevant row has no good
order, and is left out.
"""

from dataclasses import dataclass

import numpy as np

from shipway.components.lib.means import Mean
from shipway.components.lib.measures import Measure

DEPTH = 10


@dataclass(frozen=True)
class Ranks:
    """What an order is worth, by query.

    Attributes:
        first: a row of each query, shape (q,).
        query: the query of each row, codes of shape (n,).
        sizes: rows by query.
        relevant: rows of a relevance above 0, by query.
        values: by metric, shape (q,); NaN where no row is relevant.
        place: of each row in its query by its score, from 0, ties in an order that is drawn: that
            of the rows may be one by relevance.
    """

    first: np.ndarray
    query: np.ndarray
    sizes: np.ndarray
    relevant: np.ndarray
    values: dict[str, np.ndarray]
    place: np.ndarray


@dataclass(frozen=True)
class _Order:
    """Rows in the order of their scores, query after query; all of shape (n,).

    Attributes:
        query: codes.
        place: in the query, from 0.
        tied: rows of the same score.
        before: of them, those that stand before this one.
        hits: relevant rows among the tied.
        hits_before: relevant rows of a better score.
        gain: mean gain of the tied.
    """

    query: np.ndarray
    place: np.ndarray
    tied: np.ndarray
    before: np.ndarray
    hits: np.ndarray
    hits_before: np.ndarray
    gain: np.ndarray


def ranks_of(y: np.ndarray, scores: np.ndarray) -> Ranks:
    """Measure an order, query by query.

    Args:
        y: relevance and query, shape (n,).
        scores: finite, shape (n,).
    """
    _, first, query = np.unique(y["query"], return_index=True, return_inverse=True)
    relevance, count = y["relevance"].astype(np.float64), len(first)
    order = np.lexsort((-scores, query))
    ranked = _ranked(query[order], relevance[order], scores[order])
    ideal = np.lexsort((-relevance, query))
    best = np.exp2(relevance[ideal]) - 1
    relevant = np.bincount(query[relevance > 0], minlength=count)
    place = np.empty(len(order), dtype=np.int64)
    drawn = np.random.default_rng(0).random(len(order))
    place[np.lexsort((drawn, -scores, query))] = ranked.place

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(ranked.query, values, count)

    discount = 1 / np.log2(ranked.place + 2.0)
    values = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for depth in (5, DEPTH):
            shown = discount * (ranked.place < depth)
            values[f"ndcg@{depth}"] = total(ranked.gain * shown) / total(best * shown)
        precise = total(_precision(ranked) * (ranked.place < DEPTH))
        values[f"map@{DEPTH}"] = precise / np.minimum(relevant, DEPTH)
    values["mrr"] = total(_reciprocal(ranked))
    for each in values.values():
        each[relevant == 0] = np.nan
    return Ranks(first, query, np.bincount(query, minlength=count), relevant, values, place)


def ranking(y: np.ndarray, scores: np.ndarray) -> dict[str, Measure]:
    """Measures of a ranking: the mean over the queries, each weighing as its rows do.

    Args:
        y: relevance and query, shape (n,).
        scores: shape (n,).
    """
    if not np.isfinite(scores).all():
        return dict.fromkeys(("ndcg@5", "ndcg@10", "map@10", "mrr"), lambda weights: float("nan"))
    found = ranks_of(y, scores)
    asked = found.relevant > 0
    rows = found.first[asked]

    return {name: Mean(values[asked], rows) for name, values in found.values.items()}


def query_losses(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """1 minus the NDCG of each query; 0 where no row is relevant, as XGBoost counts it."""
    return np.asarray(np.nan_to_num(1 - ranks_of(y, scores).values[f"ndcg@{DEPTH}"]))


def _ranked(query: np.ndarray, relevance: np.ndarray, scores: np.ndarray) -> _Order:
    places = np.arange(len(query))
    opens = np.append(True, query[1:] != query[:-1])[: len(query)]
    turns = opens | np.append(True, scores[1:] != scores[:-1])[: len(query)]
    start = np.maximum.accumulate(np.where(opens, places, 0))
    tie = np.cumsum(turns) - 1
    first = places[turns]
    tied = np.bincount(tie)
    hit = (relevance > 0).astype(np.float64)
    so_far = np.cumsum(hit) - hit
    return _Order(
        query=query,
        place=places - start,
        tied=tied[tie],
        before=places - first[tie],
        hits=np.bincount(tie, hit)[tie],
        hits_before=so_far[first[tie]] - so_far[start],
        gain=(np.bincount(tie, np.exp2(relevance) - 1) / tied)[tie],
    )


def _precision(ranked: _Order) -> np.ndarray:
    """Whether a place holds a relevant row, times the precision there; the mean over ties."""
    others = ranked.before * (ranked.hits - 1) / np.maximum(ranked.tied - 1, 1)
    shown = ranked.hits_before + 1 + others
    return np.asarray(ranked.hits / ranked.tied * shown / (ranked.place + 1))


def _reciprocal(ranked: _Order) -> np.ndarray:
    """The chance that a place holds the first relevant row, over the place."""
    from scipy.special import gammaln

    n, r, j = ranked.tied, ranked.hits, ranked.before
    able = (ranked.hits_before == 0) & (r > 0) & (j <= n - r)
    n, r, j = n[able], r[able], j[able]

    def chosen(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
        return np.asarray(gammaln(whole + 1) - gammaln(part + 1) - gammaln(whole - part + 1))

    chance = np.zeros(len(able))
    chance[able] = np.exp(chosen(n - 1 - j, r - 1) - chosen(n, r))
    return np.asarray(chance / (ranked.place + 1))
