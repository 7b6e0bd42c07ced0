"""Batches in types that hold for every row, in one pass where the beginning tells them right."""

from collections.abc import Generator, Iterator, Sequence
from itertools import islice

import pyarrow as pa

from shipway.components.ingest.ahead import ahead
from shipway.components.ingest.columns import Markers, Typing, converted
from shipway.components.ingest.options import PLAIN, TextRules
from shipway.components.ingest.text_cells import MisfitError
from shipway.components.lib.errors import DataError

SAMPLED_BATCHES = 8


class TypesWidenedError(Exception):
    """A row does not fit the types that the rows before it have: begin again with wider ones.

    Attributes:
        schema: types that hold for all rows, as far as those that were found wrong go.
    """

    def __init__(self, schema: pa.Schema) -> None:
        super().__init__("types were widened")
        self.schema = schema


def look_at_the_beginning(
    batches: Iterator[pa.RecordBatch], kept: Sequence[str], typing: Typing
) -> None:
    """Guess types by the first batches: the first alone, unless a column has no value there."""
    for batch in islice(batches, SAMPLED_BATCHES):
        typing.look(batch)
        if all(typing.knows(name) for name in kept):
            return


def typed(
    batches: Iterator[pa.RecordBatch],
    schema: pa.Schema,
    markers: Markers,
    rules: TextRules = PLAIN,
    typing: Typing | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Rows in the types of a schema.

    A row that does not fit ends the batches, but not the reading: what is left is looked at, so
    that one more pass is enough, or nearly always so.

    Args:
        batches: as they were read; with `typing`, text whose markers of all columns are null.
        schema: types, guessed or known.
        markers: which cells are missing.
        rules: what text means.
        typing: where the types were guessed; None when they are known.

    Raises:
        DataError: a row does not fit types that were found by all rows.
        TypesWidenedError: after the last batch, if a row did not fit.
    """
    widened = False
    for batch in ahead(batches):
        if not widened:
            try:
                yield _converted(batch, schema, markers, rules, typing)
                continue
            except MisfitError as error:
                if typing is None:
                    raise DataError(
                        f"The source changed while it was read ({error}). Run again once nobody "
                        "writes to it."
                    ) from error
                widened = True
        assert typing is not None
        typing.look(batch)
    if widened and typing is not None:
        raise TypesWidenedError(typing.schema(schema.names))


def _converted(
    batch: pa.RecordBatch,
    schema: pa.Schema,
    markers: Markers,
    rules: TextRules,
    typing: Typing | None,
) -> pa.RecordBatch:
    marked = typing is not None
    columns = []
    for one in schema:
        values = batch.column(batch.schema.get_field_index(one.name))
        values = converted(values, one.type, markers.for_column(one.name), rules, marked)
        if typing is not None and not typing.knows(one.name) and values.null_count < len(values):
            raise MisfitError(f"column '{one.name}' had no value before")
        columns.append(values)
    return pa.RecordBatch.from_arrays(columns, schema=schema)
