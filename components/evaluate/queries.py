"""A ranking, query by query: by size, the worst of them, what the first places hold, and where."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shipway.components.lib.held_out import HeldOut
from shipway.components.lib.means import Mean, mean_interval
from shipway.components.lib.measures import equal_mass_bins
from shipway.components.lib.metrics import LEVEL
from shipway.components.lib.private import PRIVATE, is_private
from shipway.components.lib.queries import units_of
from shipway.components.lib.ranks import DEPTH, Ranks, ranks_of
from shipway.components.lib.scoring import Prediction
from shipway.components.lib.tables import json_value, read_schema, read_table
from shipway.components.lib.task import Target

MAIN = f"ndcg@{DEPTH}"
SIZES, WORST = 5, 10
TOPS = (1, 3, 5, 10)


@dataclass(frozen=True)
class Subjects:
    """Queries as the search of weak regions looks at them.

    Attributes:
        losses: 1 - NDCG of each query that has a relevant row, shape (q,).
        first: a row of each of them, shape (q,).
        place: of each row the place of its query among them; -1 for one without.
        query_column: names the query.
    """

    losses: np.ndarray
    first: np.ndarray
    place: np.ndarray
    query_column: str

    def table(self, rows: pa.Table) -> pa.Table:
        """One row a query: of the columns that are the same in all rows of each query."""
        known = self.place >= 0
        names = [
            name
            for name in rows.column_names
            if name != self.query_column and self._is_alike(rows.column(name), known)
        ]
        return rows.select(names).take(pa.array(self.first))

    def rows(self, chosen: np.ndarray) -> np.ndarray:
        """The mask of rows of some queries, of a mask of queries."""
        return np.asarray(np.append(chosen, False)[self.place])

    def _is_alike(self, column: pa.ChunkedArray, known: np.ndarray) -> bool:
        encoded = column.combine_chunks()
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode(null_encoding="encode")
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        return bool((codes[self.first][self.place[known]] == codes[known]).all())


def subjects_of(held: HeldOut) -> Subjects:
    """The queries of a scored test table."""
    found = _ranks(held)
    asked = np.flatnonzero(found.relevant > 0)
    places = np.full(len(found.first), -1)
    places[asked] = np.arange(len(asked))
    losses = 1 - found.values[MAIN][asked]
    return Subjects(losses, found.first[asked], places[found.query], held.query_column)


def as_shown(held: HeldOut) -> HeldOut:
    """The rows that stand first as the answer yes, and the relevant ones as the truth.

    First are ten places, at most the first half: so rates of groups say who is shown.
    """
    found = _ranks(held)
    most = np.minimum(DEPTH, (found.sizes + 1) // 2)[found.query]
    said = Prediction(labels=(found.place < most).astype(np.int32))
    truth = (held.y["relevance"] > 0).astype(np.int32)
    return HeldOut(Target("binary", [False, True], True), truth, said, {})


def shuffled(y: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Numbers of all rows at random; of a ranking the queries at random, each as a whole."""
    count, codes = units_of(y)
    if codes is None:
        return draw.permutation(count)
    return np.argsort(draw.permutation(count)[codes], kind="stable")


def query_views(test: Path, held: HeldOut) -> dict[str, Any]:
    """What the page shows of the queries.

    Returns:
        A JSON object: query_column, queries, measured (those with a relevant row), alike (with rows
        of one grade only, for which any order is as good), rows (median of a query), by_size,
        worst, first (what the first places hold); empty unless the task is a ranking.
    """
    if not held.target.ranked:
        return {}
    found = _ranks(held)
    asked = found.relevant > 0
    low, high = (np.full(len(asked), end) for end in (np.inf, -np.inf))
    np.minimum.at(low, found.query, held.y["relevance"])
    np.maximum.at(high, found.query, held.y["relevance"])
    return {
        "query_column": held.query_column,
        "queries": len(asked),
        "measured": int(asked.sum()),
        "alike": int((asked & (low == high)).sum()),
        "rows": float(np.median(found.sizes)),
        "by_size": _by_size(found, asked),
        "worst": _worst(test, held, found, asked),
        "first": [one for top in TOPS if (one := _first(held, found, top))],
    }


def _ranks(held: HeldOut) -> Ranks:
    assert held.prediction.values is not None
    return ranks_of(held.y, held.prediction.values)


def _by_size(found: Ranks, asked: np.ndarray) -> list[dict[str, Any]]:
    sizes, values = found.sizes[asked], found.values[MAIN][asked]
    bins = equal_mass_bins(sizes.astype(np.float64), SIZES)
    table = []
    for number in np.unique(bins):
        mine = bins == number
        low, high = sizes[mine].min(), sizes[mine].max()
        ends = f"{low}" if low == high else f"{low} to {high}"
        table.append({"rows": ends, "queries": int(mine.sum())} | _mean(values[mine]))
    return table


def _mean(values: np.ndarray) -> dict[str, float]:
    low, high = mean_interval(Mean(values), LEVEL) or (0.0, 1.0)
    return {"value": float(values.mean()), "low": low, "high": high}


def _worst(test: Path, held: HeldOut, found: Ranks, asked: np.ndarray) -> list[dict[str, Any]]:
    """The queries of the poorest order, larger ones first among equals."""
    rows = np.flatnonzero(asked)
    worst = rows[np.lexsort((-found.sizes[rows], found.values[MAIN][rows]))][:WORST]
    names = read_table(test, [held.query_column]).column(0).take(pa.array(found.first[worst]))
    hidden = is_private(read_schema(test).field(held.query_column))
    return [
        {
            "query": PRIVATE if hidden else str(json_value(name)),
            "rows": int(found.sizes[code]),
            "relevant": int(found.relevant[code]),
            "value": float(found.values[MAIN][code]),
        }
        for code, name in zip(worst, names.to_pylist(), strict=True)
    ]


def _first(held: HeldOut, found: Ranks, top: int) -> dict[str, Any]:
    """How many of the first rows are relevant, against all rows of the same, longer queries."""
    asked = np.flatnonzero((found.relevant > 0) & (found.sizes > top))
    if len(asked) < 2:
        return {}
    hits = (held.y["relevance"] > 0) & (found.place < top)
    shares = np.bincount(found.query[hits], minlength=len(found.sizes))[asked] / top
    usual = float((found.relevant[asked] / found.sizes[asked]).mean())
    told = _mean(shares)
    return {"top": top, "queries": len(asked), "usual": usual, "lift": told["value"] / usual} | told
