"""V2 requests: one tensor a raw column, of shape [n] or [n, 1], or one matrix of all of them."""

from typing import Any

import numpy as np

from shipway.components.predictor.binary import decode
from shipway.components.predictor.columns import DATATYPES, InputColumn, Place, Schema
from shipway.components.predictor.datatypes import (
    CELLS,
    Tensor,
    as_floats,
    check_datatype,
    is_known,
)
from shipway.components.predictor.features import Cells
from shipway.components.predictor.matrix import is_matrix, read_matrix
from shipway.components.predictor.refusals import Refusal, shown
from shipway.components.predictor.rows import check_row_count


def read_tensors(
    tensors: list[Tensor], schema: Schema, max_rows: int, null_text: str | None = None
) -> dict[str, Cells] | np.ndarray:
    """The cells of a V2 request.

    Args:
        tensors: as they came.
        schema: the columns that the model takes.
        max_rows: how many rows a request may hold.
        null_text: the text that stands for null in tensors of texts.

    Returns:
        By column of the schema, in its order, the cells; or all of them, float64 of shape (n, k).

    Raises:
        Refusal: a tensor is not as the schema, or as it says itself.
    """
    if is_matrix(tensors, schema):
        return read_matrix(tensors[0], schema, max_rows)
    by_name = _by_name(tensors, schema)
    rows = {name: _rows(tensor) for name, tensor in by_name.items()}
    first = next(iter(rows))
    for name, count in rows.items():
        if count != rows[first]:
            raise Refusal(
                f"Column '{name}' has {count} rows and column '{first}' has {rows[first]}; "
                "all tensors of a request must have the same.",
                cause="shape",
            )
    check_row_count(rows[first], max_rows)
    for name, tensor in by_name.items():
        if name not in schema.by_name:  # it is accepted and not used
            _check_known(tensor)
            _decoded(tensor, rows[first])
    return {
        column.name: _cells(by_name[column.name], rows[first], column, null_text)
        for column in schema.columns
    }


def _by_name(tensors: list[Tensor], schema: Schema) -> dict[str, Tensor]:
    by_name: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in by_name:
            raise Refusal(
                f"Column '{tensor.name[:60]}' comes twice; send one tensor a column.",
                cause="duplicate",
            )
        by_name[tensor.name] = tensor
    for name in schema.names:
        if name not in by_name:
            raise schema.missing("The request", name, list(by_name))
    for name in by_name:
        if name not in schema.known:
            raise schema.unknown("The request", name)
    return by_name


def _rows(tensor: Tensor) -> int:
    """The rows of a tensor, by its shape; cells that can be counted must be as many."""
    shape, data = tensor.shape, tensor.data
    whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        came = repr(shape)[:60] if isinstance(shape, list) else shown(shape)
        raise Refusal(
            f"Column '{tensor.name}' must have the shape [n] or [n, 1]; {came} came.", cause="shape"
        )
    if not shape[0]:
        raise Refusal(
            f"Column '{tensor.name}' has no row; there is nothing to predict.", cause="shape"
        )
    if not isinstance(data, (list, np.ndarray, bytes, memoryview)):
        raise Refusal(
            f"Column '{tensor.name}' must have 'data', a list; {shown(data)} came.", cause="shape"
        )
    if isinstance(data, (list, np.ndarray)) and len(data) != shape[0]:
        raise Refusal(
            f"Column '{tensor.name}' has the shape {shape} and {len(data)} values; they differ.",
            cause="shape",
        )
    return int(shape[0])


def _check_known(tensor: Tensor) -> None:
    if tensor.datatype not in CELLS:
        raise Refusal(
            f"Column '{tensor.name}' has the datatype {shown(tensor.datatype)}; "
            f"this server knows {', '.join(CELLS)}.",
            cause="datatype",
        )


def _decoded(tensor: Tensor, count: int) -> Any:
    """The data of a tensor: a list of cells, or an array."""
    data = tensor.data
    if isinstance(data, (bytes, memoryview)):
        what = f"Column '{tensor.name}'"
        return decode(data, tensor.datatype, count, what, _place(tensor.name))
    nested = isinstance(data, list) and len(tensor.shape) == 2
    if nested and all(isinstance(cell, list) and len(cell) == 1 for cell in data):
        return [cell[0] for cell in data]
    return data


def _cells(tensor: Tensor, count: int, column: InputColumn, null_text: str | None) -> Cells:
    datatype = tensor.datatype
    allowed = [name for name, types in CELLS.items() if types <= column.accepted]
    if datatype not in allowed:
        raise Refusal(
            f"Column '{column.name}' holds {column.expected}: its datatype may be "
            f"{', '.join(allowed)} (best {DATATYPES[column.dtype]}); {shown(datatype)} came."
            f"{is_known(datatype)}",
            cause="datatype",
        )
    place, data = _place(column.name), _decoded(tensor, count)
    if isinstance(data, np.ndarray):
        return _of_array(data, column, place)
    if null_text is not None and datatype == "BYTES":
        data = [None if cell == null_text else cell for cell in data]
    checked = column.check(data, place)
    check_datatype(data, datatype, place)
    return checked


def _of_array(array: np.ndarray, column: InputColumn, place: Place) -> Cells:
    numbers = as_floats(array, place)
    nulls = np.isnan(numbers)
    if column.measured:
        if not column.nullable and nulls.any():
            row = int(nulls.argmax())
            column.check([None], lambda _: place(row))
        return numbers
    cells: list[Any] = array.tolist()  # numbers that are text or categories in the table
    if nulls.any():
        cells = [None if missing else cell for cell, missing in zip(cells, nulls, strict=True)]
    return column.check(cells, place)


def _place(name: str) -> Place:
    return lambda index: f"Row {index}, column '{name}'"
