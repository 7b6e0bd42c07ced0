"""A bounded sample of the training rows, for what is fitted beside the model."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.tables import count_rows, read_batches, read_table

MAX_ROWS = 20_000


def sample_rows(path: Path, limit: int = MAX_ROWS, seed: int = 0) -> pa.Table:
    """About `limit` rows of a Dataset, drawn batch by batch; all where there are no more."""
    rows = count_rows(path)
    if rows <= limit:
        return read_table(path)
    draw = np.random.default_rng(seed)
    parts = [
        batch.filter(pa.array(draw.random(batch.num_rows) < limit / rows))
        for batch in read_batches(path)
    ]
    return pa.Table.from_batches(parts)
