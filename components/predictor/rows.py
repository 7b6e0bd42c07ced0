"""V1 requests: `{"instances": [...]}` with rows as objects by column name, or as lists in order.

Or `{"inputs": {...}}` with a list of cells for each column.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from shipway.components.lib.errors import nearest
from shipway.components.predictor.columns import Place, Schema
from shipway.components.predictor.refusals import Refusal, listed, shown

# The last is of TensorFlow's clients, and says nothing here.
KEYS = ("instances", "inputs", "parameters", "signature_name")
EXAMPLE = 'send {"instances": [{"column": value, ...}, ...]}'


def read_instances(payload: Any, schema: Schema, max_rows: int) -> dict[str, list[Any]]:
    """The cells of a V1 request, column by column.

    Args:
        payload: the parsed body.
        schema: the columns that the model takes.
        max_rows: how many rows a request may hold.

    Returns:
        For each column of the schema, in its order, a list of n cells.

    Raises:
        Refusal: the body is not such a request, or a row or a cell is not as the schema says.
    """
    if not isinstance(payload, dict):
        raise Refusal(
            f"The body must be a JSON object; {shown(payload)} came: {EXAMPLE}.", cause="shape"
        )
    if "instances" not in payload and "inputs" not in payload:
        held = listed([str(key) for key in payload]) or "nothing"
        raise Refusal(
            f"The body has no 'instances' and no 'inputs', but {held}: {EXAMPLE}.", cause="shape"
        )
    for key in payload:
        if key not in KEYS:
            raise Refusal(
                f"A V1 request has no '{key[:60]}', but {listed(list(KEYS))}.{nearest(key, KEYS)}",
                cause="parameters",
            )
    if "inputs" in payload:
        return _from_columns(payload, schema, max_rows)
    rows = payload["instances"]
    if not isinstance(rows, list):
        raise Refusal(
            f"'instances' must be a list of rows; {shown(rows)} came: {EXAMPLE}.", cause="shape"
        )
    if not rows:
        raise Refusal(
            f"'instances' is empty; there is nothing to predict: {EXAMPLE}.", cause="shape"
        )
    check_row_count(len(rows), max_rows)
    if isinstance(rows[0], dict):
        columns = _from_objects(rows, schema)
    elif isinstance(rows[0], list):
        columns = _from_lists(rows, schema)
    else:
        raise Refusal(
            f"Row 0 must be an object or a list; {shown(rows[0])} came: {EXAMPLE}.", cause="shape"
        )
    return {
        column.name: column.check(columns[column.name], place_in(column.name))
        for column in schema.columns
    }


def _from_columns(payload: dict[str, Any], schema: Schema, max_rows: int) -> dict[str, list[Any]]:
    if "instances" in payload:
        raise Refusal(
            "The body has 'instances' and 'inputs'; send rows or columns, not both.", cause="shape"
        )
    given = payload["inputs"]
    if not isinstance(given, dict):
        raise Refusal(
            f"'inputs' must be an object with a list of values for each column; {shown(given)} "
            "came. Rows go as 'instances'.",
            cause="shape",
        )
    for name in schema.names:
        if name not in given:
            raise schema.missing("The request", name, list(given))
    first = schema.names[0]
    for name, cells in given.items():
        if name not in schema.known:
            raise schema.unknown("The request", name)
        if not isinstance(cells, list):
            raise Refusal(
                f"Column '{name}' must be a list of values; {shown(cells)} came.", cause="shape"
            )
        if isinstance(given[first], list) and len(cells) != len(given[first]):
            raise Refusal(
                f"Column '{name}' has {len(cells)} values and column '{first}' has "
                f"{len(given[first])}; all columns of a request must have the same.",
                cause="shape",
            )
    if not given[first]:
        raise Refusal(
            "The columns of 'inputs' are empty; there is nothing to predict.", cause="shape"
        )
    check_row_count(len(given[first]), max_rows)
    return {
        column.name: column.check(given[column.name], place_in(column.name))
        for column in schema.columns
    }


def check_row_count(count: int, max_rows: int) -> None:
    """Refuse a request of too many rows, as 413."""
    if count > max_rows:
        raise Refusal(
            f"The request holds {count:,} rows; this server takes at most {max_rows:,} at once. "
            "Send them in parts.",
            413,
        )


def place_in(name: str) -> Place:
    """Tells where a cell of a column stands, for a message."""
    return lambda index: f"Row {index}, column '{name}'"


def _from_objects(rows: list[Any], schema: Schema) -> dict[str, list[Any]]:
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Refusal(
                f"Row {index} must be an object like row 0; {shown(row)} came. Do not mix them.",
                cause="shape",
            )
    names = schema.names
    take = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
    try:
        columns = _turned(map(take, rows), schema)
    except KeyError:
        index, name = next((i, n) for i, row in enumerate(rows) for n in names if n not in row)
        raise schema.missing(f"Row {index}", name, list(rows[index])) from None
    if set(map(len, rows)) == {len(schema.names)}:  # nothing is there beside the columns
        return columns
    for index, row in enumerate(rows):
        if not row.keys() <= schema.known:
            stranger = next(name for name in row if name not in schema.known)
            raise schema.unknown(f"Row {index}", stranger)
    return columns


def _from_lists(rows: list[Any], schema: Schema) -> dict[str, list[Any]]:
    width = len(schema.names)
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            raise Refusal(
                f"Row {index} must be a list like row 0; {shown(row)} came. Do not mix them.",
                cause="shape",
            )
        if len(row) != width:
            raise Refusal(
                f"Row {index} has {len(row)} values; this model takes {width}, in this order: "
                f"{listed(list(schema.names))}. Rows by column name are safer.",
                cause="shape",
            )
    return _turned(rows, schema)


def _turned(rows: Iterable[Sequence[Any]], schema: Schema) -> dict[str, list[Any]]:
    """Columns of rows that have a cell for each of them, by one list that is cut in steps."""
    flat: list[Any] = []
    for row in rows:
        flat += row
    width = len(schema.names)
    return {name: flat[index::width] for index, name in enumerate(schema.names)}
