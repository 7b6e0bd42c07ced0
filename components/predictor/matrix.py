"""One tensor of all the columns, for a model whose columns are all numbers."""

from typing import Any

import numpy as np

from shipway.components.predictor.binary import decode
from shipway.components.predictor.columns import Place, Schema
from shipway.components.predictor.datatypes import (
    NUMERIC,
    Tensor,
    as_floats,
    check_datatype,
    is_known,
)
from shipway.components.predictor.refusals import Refusal, listed, shown
from shipway.components.predictor.rows import check_row_count


def is_matrix(tensors: list[Tensor], schema: Schema) -> bool:
    """Whether a request is meant as one tensor of all the columns."""
    if len(tensors) != 1:
        return False
    shape = tensors[0].shape
    two = isinstance(shape, list) and len(shape) == 2
    return two and (shape[1] != 1 or len(schema.columns) == 1)


def read_matrix(tensor: Tensor, schema: Schema, max_rows: int) -> np.ndarray:
    """The numbers of a request: float64 of shape (n, k), NaN for null.

    Raises:
        Refusal: the model has other columns, or the tensor is not as it says.
    """
    what, names = f"Tensor '{tensor.name[:60]}'", list(schema.names)
    for column in schema.columns:
        if not column.measured:
            raise Refusal(
                f"{what} has the shape {str(tensor.shape)[:60]}: one tensor of all columns is for "
                f"models whose columns are all numbers, and column '{column.name}' holds "
                f"{column.expected}. Send one tensor a column.",
                cause="shape",
            )
    rows, width = tensor.shape
    if type(rows) is not int or rows < 0 or type(width) is not int or width != len(names):
        raise Refusal(
            f"{what} must have the shape [n, {len(names)}], the columns in this order: "
            f"{listed(names)}; {str(tensor.shape)[:60]} came.",
            cause="shape",
        )
    if not rows:
        raise Refusal(f"{what} has no row; there is nothing to predict.", cause="shape")
    check_row_count(rows, max_rows)
    if tensor.datatype not in NUMERIC:
        raise Refusal(
            f"{what} holds numbers: its datatype may be {', '.join(NUMERIC)}; "
            f"{shown(tensor.datatype)} came.{is_known(tensor.datatype)}",
            cause="datatype",
        )

    def place(index: int) -> str:
        return f"Row {index // width}, column '{names[index % width]}'"

    data = tensor.data
    if isinstance(data, list):
        return _of_list(_flat(data, rows, width, what), tensor.datatype, schema, place)
    if isinstance(data, (bytes, memoryview)):
        data = decode(data, tensor.datatype, rows * width, what, place)
    if not isinstance(data, np.ndarray):
        raise Refusal(f"{what} must have 'data', a list; {shown(data)} came.", cause="shape")
    _check_count(len(data), rows, width, what)
    matrix = as_floats(data, place).reshape(rows, width)
    _check_nulls(matrix, schema)
    return matrix


def _check_count(count: int, rows: int, width: int, what: str) -> None:
    if count != rows * width:
        raise Refusal(
            f"{what} has the shape [{rows}, {width}] and {count:,} values; they differ.",
            cause="shape",
        )


def _flat(data: list[Any], rows: int, width: int, what: str) -> list[Any]:
    if not data or not isinstance(data[0], list):
        _check_count(len(data), rows, width, what)
        return data
    if len(data) != rows:
        raise Refusal(
            f"{what} has the shape [{rows}, {width}] and {len(data)} rows; they differ.",
            cause="shape",
        )
    for index, row in enumerate(data):
        if not isinstance(row, list):
            raise Refusal(
                f"Row {index} must be a list like row 0; {shown(row)} came.", cause="shape"
            )
        if len(row) != width:
            raise Refusal(
                f"Row {index} has {len(row)} values; its tensor's shape says {width}.",
                cause="shape",
            )
    return [cell for row in data for cell in row]


def _of_list(cells: list[Any], datatype: str, schema: Schema, place: Place) -> np.ndarray:
    width = len(schema.columns)
    for index, column in enumerate(schema.columns):
        column.check(cells[index::width], lambda row, at=index: place(row * width + at))  # type: ignore[misc]
    check_datatype(cells, datatype, place)
    return np.array(cells, dtype=np.float64).reshape(-1, width)


def _check_nulls(matrix: np.ndarray, schema: Schema) -> None:
    """Refuse a NaN in a column that training never missed."""
    nulls = np.isnan(matrix)
    if not nulls.any():
        return
    for index, column in enumerate(schema.columns):
        if not column.nullable and nulls[:, index].any():
            row = int(nulls[:, index].argmax())
            column.check([None], lambda _, row=row, name=column.name: f"Row {row}, column '{name}'")  # type: ignore[misc]
