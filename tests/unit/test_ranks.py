from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import ndcg_score

from shipway.components.lib.errors import ConfigurationError, DataError
from shipway.components.lib.labels import resolve_target
from shipway.components.lib.metrics import (
    METRIC_NAMES,
    bootstrap_intervals,
    compute_metrics,
    paired_difference,
)
from shipway.components.lib.queries import (
    check_query,
    query_codes,
    told,
    whole_queries,
    with_queries,
)
from shipway.components.lib.ranks import ranks_of
from shipway.components.lib.scoring import Prediction
from shipway.components.lib.task import Target

TARGET = Target("ranking")


def searches(queries: int, seed: int = 0, levels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Graded rows of queries of 1 to 25 rows, out of order, and scores with many ties."""
    draw = np.random.default_rng(seed)
    query = draw.permutation(np.repeat(np.arange(queries), draw.integers(1, 26, queries)))
    relevance = draw.integers(0, levels, len(query))
    scores = np.round(relevance + draw.normal(0, 2, len(query)))
    return with_queries(relevance, query), scores


def said(scores: Any) -> Prediction:
    return Prediction(values=np.asarray(scores, dtype=np.float64))


@pytest.mark.parametrize("depth", [5, 10])
def test_ndcg_agrees_with_scikit_learn_with_ties_too(depth: int) -> None:
    y, scores = searches(80)
    found = ranks_of(y, scores)
    for code in range(80):
        rows = found.query == code
        if rows.sum() > 1 and found.relevant[code]:
            gains = np.exp2(y["relevance"][rows]) - 1
            expected = ndcg_score([gains], [scores[rows]], k=depth)
            assert found.values[f"ndcg@{depth}"][code] == pytest.approx(expected)


@pytest.mark.parametrize("scores", [[3, 2, 1, 0], [1, 1, 0, 0], [2, 1, 1, 1], [0, 0, 0, 0]])
@pytest.mark.parametrize("hits", [[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]])
def test_ties_are_worth_the_mean_over_their_orders(scores: list[int], hits: list[int]) -> None:
    y = with_queries(np.array(hits), np.zeros(4))
    orders = [o for o in permutations(range(4)) if [scores[i] for i in o] == sorted(scores)[::-1]]
    firsts, precisions = [], []
    for order in orders:
        shown = np.array([hits[i] for i in order])
        firsts.append(1 / (1 + int(shown.argmax())))
        precise = shown * np.cumsum(shown) / np.arange(1, 5)
        precisions.append(precise.sum() / shown.sum())
    found = compute_metrics(TARGET, y, said(scores))
    assert found["mrr"] == pytest.approx(np.mean(firsts))
    assert found["map@10"] == pytest.approx(np.mean(precisions))


def test_queries_without_a_relevant_row_count_nowhere() -> None:
    y = with_queries(np.array([1, 0, 0, 0]), np.array([7, 7, 8, 8]))
    found = compute_metrics(TARGET, y, said([2, 1, 2, 1]))
    assert found == pytest.approx(dict.fromkeys(METRIC_NAMES["ranking"], 1.0))
    none = with_queries(np.zeros(4), np.array([7, 7, 8, 8]))
    assert compute_metrics(TARGET, none, said([2, 1, 2, 1])) == {}
    assert compute_metrics(TARGET, y, said([2, 1, np.nan, 1])) == {}


def test_the_order_of_the_rows_in_the_table_decides_nothing() -> None:
    y, scores = searches(30)
    mixed = np.random.default_rng(1).permutation(len(y))
    before, after = (compute_metrics(TARGET, y[o], said(scores[o])) for o in (..., mixed))
    assert before == pytest.approx(after)


def test_intervals_are_of_queries_and_not_of_rows() -> None:
    """Every row five times over is no news: the interval stays as wide as it was."""
    y, scores = searches(120)
    low, high = bootstrap_intervals(TARGET, y, said(scores), ["ndcg@10"])["ndcg@10"]
    values = ranks_of(y, scores).values["ndcg@10"]
    error = np.nanstd(values) / np.sqrt(np.isfinite(values).sum())
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.05)
    gain = paired_difference(TARGET, y, said(y["relevance"]), said(scores), "ndcg@10")
    assert gain is not None
    assert gain.low > 0


def test_samples_and_matrices_keep_queries_whole() -> None:
    y, _ = searches(50)
    rows = whole_queries(y, 200, np.random.default_rng(0))
    assert 150 < len(rows) <= 200
    assert not set(y["query"][rows]) & set(np.delete(y["query"], rows))
    by_query = np.sort(y, order="query")
    weights = 1.0 + by_query["query"]
    matrix = told(by_query, weights)
    assert matrix["weight"].tolist() == (1.0 + np.arange(50)).tolist()
    with pytest.raises(DataError, match="one weight"):
        told(by_query, weights + np.arange(len(weights)))


def test_a_ranking_needs_a_query_and_grades() -> None:
    assert resolve_target(pa.array([0, 1, 4]), "ranking") == TARGET
    assert resolve_target(pa.array([0, 1, 4, 2, 3])).task == "multiclass"  # auto never guesses it
    with pytest.raises(ConfigurationError, match="needs group_column"):
        check_query("ranking", "")
    for wrong in ([0, 1, -1], [0.5, 1.0], [0, 32]):
        with pytest.raises(DataError, match="graded relevance"):
            resolve_target(pa.array(wrong), "ranking")
    with pytest.raises(ConfigurationError, match="needs a label of numbers"):
        resolve_target(pa.array(["good", "bad"]), "ranking")
    with pytest.raises(DataError, match="missing in 1 of 2 rows"):
        query_codes(pa.chunked_array([["q", None]]), "query")
