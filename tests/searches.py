"""A made-up search log: queries by documents, with a relevance that is known."""

import numpy as np
import pyarrow as pa


def searches(queries: int, seed: int = 0, rows: tuple[int, int] = (5, 20)) -> pa.Table:
    """Graded documents of searches.

    What makes a document relevant hangs on the intent of its query: price counts down for one and
    up for the other, so that no column alone and no sum of columns orders them well.
    """
    draw = np.random.default_rng(seed)
    sizes = draw.integers(*rows, queries)
    query = np.repeat(np.arange(queries), sizes)
    intent = draw.choice(["cheap", "best"], queries)[query]
    device = draw.choice(["phone", "desk", "watch"], queries)[query]
    match, price, age = draw.normal(size=(3, len(query)))
    liked = np.where(intent == "cheap", -price, price)
    score = match + 1.5 * liked + 0.4 * draw.normal(size=len(query))
    columns = {
        "search": [f"s{number}" for number in query],
        "intent": intent,
        "device": device,
        "match": match,
        "price": price,
        "age": age,
        "grade": np.digitize(score, [0.5, 1.5, 2.5]),
    }
    return pa.table(columns).take(pa.array(draw.permutation(len(query))))
