"""The second pass over a table: rows go to their splits, and samples are drawn on the way."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from shipway.components.lib.tables import TableWriter, read_batches, read_schema
from shipway.components.split.assignment import NAMES, TRAIN, VALIDATION
from shipway.components.split.subject import Draw


@contextmanager
def written(
    dataset: Path, parts: np.ndarray, paths: Mapping[str, Path]
) -> Iterator[tuple[dict[str, TableWriter], Draw, Draw]]:
    """Stream the rows to their splits, and draw samples of training and validation on the way.

    All three tables are whole after the block, or none is there.
    """
    schema = read_schema(dataset)
    writers = {name: TableWriter(paths[name], schema) for name in NAMES}
    draws = [Draw(parts, part, len(schema)) for part in (TRAIN, VALIDATION)]
    start = 0
    with ExitStack() as stack:
        for writer in writers.values():
            stack.enter_context(writer)
        for batch in read_batches(dataset):
            mine = parts[start : start + batch.num_rows]
            for part, name in enumerate(NAMES):
                writers[name].write(batch.filter(pa.array(mine == part)))
            for draw in draws:
                draw.add(start, batch)
            start += batch.num_rows
        yield writers, draws[0], draws[1]
