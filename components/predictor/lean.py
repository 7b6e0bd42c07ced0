"""V2 tensors of few rows, by a lean way that gives up at anything unusual."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from shipway.components.predictor.binary import decode
from shipway.components.predictor.columns import Schema
from shipway.components.predictor.datatypes import FLOATS, INTEGERS, Tensor
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

    def __init__(self, schema: Schema, reader: FeatureReader) -> None:
        """Take the columns and what reads their rows."""
        self._labels = {column.name: LABELS[column.dtype] for column in schema.columns}
        self._names = schema.names
        self._reader = reader

    def read(self, tensors: list[Tensor]) -> Batch | None:
        """The batch; None where something is unusual, for the careful way to look at."""
        if len(tensors) != len(self._names):
            return None
        rows = _count(tensors[0].shape)
        if not 0 < rows <= FEW_ROWS:
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


def _count(shape: Any) -> int:
    if type(shape) is list and len(shape) == 1 and type(shape[0]) is int:
        return shape[0]
    return 0


def _listed(data: Any, datatype: str, rows: int, name: str) -> list[Any]:
    """Cells of a tensor that is no list; [] where they are unusual."""
    if isinstance(data, (bytes, memoryview)):
        what = f"Column '{name}'"
        data = decode(data, datatype, rows, what, lambda index: f"Row {index}, column '{name}'")
    if isinstance(data, np.ndarray):
        data = data.tolist()
        return data if all(map(math.isfinite, data)) else []
    return data if isinstance(data, list) else []


def _within(cells: list[Any], low: int, high: int) -> bool:
    return all(type(cell) is int and low <= cell <= high for cell in cells)
