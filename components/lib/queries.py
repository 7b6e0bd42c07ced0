"""Queries of a ranking: the rows that are ordered among each other.

Labels of a ranking are a structured array of relevance and query, so that whoever takes some of the
rows takes their queries along.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shipway.components.lib.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from shipway.components.lib.features import FeaturePlan
    from shipway.components.lib.transform import Rows

LABELS = np.dtype([("relevance", np.float32), ("query", np.int64)])


def check_query(task: str, group_column: str) -> None:
    """Refuse a ranking without a query.

    Raises:
        ConfigurationError: the group column is not named.
    """
    if task == "ranking" and not group_column:
        raise ConfigurationError(
            "task='ranking' needs group_column: rows are ordered among those of the same query, "
            "and nothing names it. Set group_column to the column that holds the query."
        )


def query_codes(queries: pa.ChunkedArray | pa.Array, name: str) -> np.ndarray:
    """A code for each query, int64 of shape (n,).

    Raises:
        DataError: a row has no query.
    """
    if queries.null_count:
        raise DataError(
            f"Column '{name}' names the query but is missing in {queries.null_count:,} of "
            f"{len(queries):,} rows. Fill it, or leave those rows out."
        )
    whole = queries.combine_chunks() if isinstance(queries, pa.ChunkedArray) else queries
    encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def labels_of(plan: "FeaturePlan", rows: "Rows") -> np.ndarray:
    """The labels of raw rows as the target encodes them; those of a ranking with their queries."""
    y = plan.target.encode(rows.column(plan.label))
    if not plan.target.ranked:
        return y
    return with_queries(y, query_codes(rows.column(plan.group_column), plan.group_column))


def with_queries(relevance: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Relevance and query as one array of shape (n,)."""
    y = np.empty(len(relevance), dtype=LABELS)
    y["relevance"], y["query"] = relevance, codes
    return y


def relevance_of(y: np.ndarray) -> np.ndarray:
    """The labels without their queries."""
    return y["relevance"] if y.dtype == LABELS else y


def units_of(y: np.ndarray) -> tuple[int, np.ndarray | None]:
    """What is drawn anew when rows are: how many, and the one of each row; None where it is rows.

    The rows of a query are no news of each other, so that they are drawn together.
    """
    if y.dtype != LABELS:
        return len(y), None
    known, codes = np.unique(y["query"], return_inverse=True)
    return len(known), codes


def whole_queries(y: np.ndarray, rows: int, draw: np.random.Generator) -> np.ndarray:
    """Numbers of about so many rows, drawn at random; of a ranking in whole queries.

    Returns:
        In ascending order.
    """
    count, codes = units_of(y)
    if codes is None:
        return np.sort(draw.permutation(count)[:rows])
    order = draw.permutation(count)
    sizes = np.bincount(codes, minlength=count)[order]
    kept = order[: max(1, int((np.cumsum(sizes) <= rows).sum()))]
    return np.flatnonzero(np.isin(codes, kept))


def by_query(y: np.ndarray) -> np.ndarray:
    """The order in which XGBoost takes rows: query after query."""
    return np.argsort(y["query"], kind="stable")


def told(y: np.ndarray, weights: np.ndarray | None) -> dict[str, Any]:
    """Labels and weights as a matrix of XGBoost takes them; rows of a query stand together.

    Raises:
        DataError: rows of one query weigh differently.
    """
    if y.dtype != LABELS:
        return {"label": y, "weight": weights}
    opens = np.append(True, y["query"][1:] != y["query"][:-1])[: len(y)]
    codes = np.cumsum(opens) - 1
    if weights is not None:
        first = np.flatnonzero(opens)
        wrong = int((weights[first][codes] != weights).sum())
        if wrong:
            raise DataError(
                f"Rows of one query weigh differently ({wrong:,} rows unlike the first of their "
                "query), but a ranking weighs whole queries. Give all rows of a query one weight."
            )
        weights = weights[first]
    return {"label": y["relevance"], "qid": codes, "weight": weights}
