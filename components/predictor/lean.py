"""V2 tensors of few rows, by a lean way that gives up at anything unusual."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from shipway.components.predictor.binary import DTYPES, decode
from shipway.components.predictor.columns import Schema
from shipway.components.predictor.datatypes import FLOATS, INTEGERS, NUMERIC, Tensor
from shipway.components.predictor.features import Batch, FeatureReader

FEW_ROWS = 16
ANY = (0, 0)
LABELS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "number": {**dict.fromkeys(FLOATS, ANY), **INTEGERS},
    "string": {"BYTES": ANY},
    "boolean": {"BOOL": ANY},
}


class LeanTensors:
    """Reads requests with one tensor of few cells a column, as clients write them."""

    def __init__(self, schema: Schema, reader: FeatureReader, max_rows: int) -> None:
        """Take the columns, what reads their rows, and how many a request may hold."""
        self._most = min(FEW_ROWS, max_rows)
        self._labels = {column.name: LABELS[column.dtype] for column in schema.columns}
        self._names = schema.names
        self._reader = reader
        self._square = reader.all_numbers

    def read(self, tensors: list[Tensor]) -> Batch | None:
        """The batch; None where something is unusual, for the careful way to look at."""
        if len(tensors) != len(self._names):
            return self._matrix(tensors[0]) if self._square and len(tensors) == 1 else None
        rows = _count(tensors[0].shape)
        if not 0 < rows <= self._most:
            return None
        columns: dict[str, list[Any]] = {}
        for name, datatype, shape, data in tensors:
            labels = self._labels.get(name)
            bounds = None if labels is None else labels.get(datatype)
            if bounds is None or _count(shape) != rows:
                return None
            cells = data if type(data) is list else _listed(data, datatype, rows, name)
            if len(cells) != rows or (bounds is not ANY and not _within(cells, *bounds)):
                return None
            columns[name] = cells
        if len(columns) != len(tensors):
            return None
        if rows == 1:
            return self._reader.read_rows([[columns[name][0] for name in self._names]])
        ordered = zip(*[columns[name] for name in self._names], strict=True)
        return self._reader.read_rows(list(map(list, ordered)))

    def _matrix(self, tensor: Tensor) -> Batch | None:
        """One tensor of all the columns, its cells in one list."""
        name, datatype, shape, data = tensor
        if datatype not in FLOATS or type(shape) is not list or len(shape) != 2:
            return None
        rows, width = shape
        if type(rows) is not int or not 0 < rows <= self._most or width != len(self._names):
            return None
        cells = data if type(data) is list else _listed(data, datatype, rows * width, name)
        if len(cells) != rows * width:
            return None
        return self._reader.read_rows(
            [cells[start : start + width] for start in range(0, len(cells), width)]
        )


def _count(shape: Any) -> int:
    if type(shape) is list and len(shape) == 1 and type(shape[0]) is int:
        return shape[0]
    return 0


def _listed(data: Any, datatype: str, count: int, name: str) -> list[Any]:
    """Cells of a tensor that is no list; [] where they are unusual."""
    if isinstance(data, (bytes, memoryview)):
        if datatype not in NUMERIC:
            cells: list[Any] = decode(
                data, datatype, count, f"Column '{name}'", lambda at: f"Row {at}, column '{name}'"
            )
            return cells
        if len(data) != count * DTYPES[datatype].itemsize:
            return []
        data = np.frombuffer(data, DTYPES[datatype])
    if not isinstance(data, np.ndarray):
        return []
    cells = data.tolist()
    return cells if all(map(math.isfinite, cells)) else []


def _within(cells: list[Any], low: int, high: int) -> bool:
    return all(type(cell) is int and low <= cell <= high for cell in cells)
