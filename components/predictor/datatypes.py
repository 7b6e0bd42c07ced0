"""The datatypes of V2, a tensor as it came, and what its cells may be."""

from typing import Any, NamedTuple

import numpy as np

from shipway.components.predictor.columns import Place
from shipway.components.predictor.refusals import Refusal, shown

INTEGERS = {
    f"{sign}{bits}": (low, high)
    for bits in (8, 16, 32, 64)
    for sign, low, high in (
        ("INT", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        ("UINT", 0, 2**bits - 1),
    )
}
FLOATS = ("FP64", "FP32", "FP16")
NUMERIC = (*FLOATS, *INTEGERS)
CELLS: dict[str, frozenset[type]] = {
    **dict.fromkeys(FLOATS, frozenset({int, float})),
    **dict.fromkeys(INTEGERS, frozenset({int})),
    "BYTES": frozenset({str}),
    "BOOL": frozenset({bool}),
}
NULL = type(None)


class Tensor(NamedTuple):
    """A tensor of a request; nothing but its name and its datatype's type has been checked.

    Attributes:
        name: of the tensor.
        datatype: in capitals.
        shape: as it came.
        data: a list of cells with None for null; float64 with NaN for null; or bytes.
    """

    name: str
    datatype: str
    shape: Any
    data: Any


def is_known(datatype: str) -> str:
    """What a message says of a datatype that the server does not know, or ""."""
    return "" if datatype in CELLS else " This server does not know that datatype."


def check_datatype(cells: list[Any], datatype: str, place: Place) -> None:
    """Refuse cells that are not of the datatype that their tensor declares.

    Args:
        cells: None for null.
        datatype: a known one.
        place: tells where cell i stands.
    """
    types = CELLS[datatype] | {NULL}
    kinds = set(map(type, cells))
    low, high = INTEGERS.get(datatype, (0, 0))
    bounded = low < high
    if kinds <= types:
        if not bounded or kinds == {NULL}:
            return
        whole = cells if NULL not in kinds else [cell for cell in cells if cell is not None]
        if low <= min(whole) and max(whole) <= high:
            return
    for index, cell in enumerate(cells):
        if type(cell) not in types or (bounded and cell is not None and not low <= cell <= high):
            range_ = f", which is whole and from {low} to {high}" if bounded else ""
            raise Refusal(
                f"{place(index)} must be of the datatype {datatype}{range_}, as its tensor says; "
                f"{shown(cell)} came.",
                cause="datatype",
            )


def as_floats(array: np.ndarray, place: Place) -> np.ndarray:
    """Numbers of any datatype as float64, NaN for null.

    Raises:
        Refusal: one is infinite.
    """
    if array.dtype.kind == "f":
        infinite = np.isinf(array)
        if infinite.any():
            index = int(infinite.argmax())
            raise Refusal(
                f"{place(index)} must be a finite number; {float(array[index])} came. "
                "NaN stands for null.",
                cause="non_finite",
            )
    return array.astype(np.float64, copy=False)
