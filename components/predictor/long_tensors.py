"""Long V2 bodies in JSON: lists of numbers become arrays without Python's own numbers."""

from typing import Any

import numpy as np

from shipway.components.predictor.datatypes import FLOATS


def quick_payload(document: Any, body: bytes) -> dict[str, Any] | None:
    """A V2 request with arrays of float64 for lists of nothing but numbers.

    Args:
        document: of `simdjson`.
        body: what it was parsed from.

    Returns:
        The request; None where its lists are not as deep as they should be, or a key comes twice.
    """
    payload: dict[str, Any] = {}
    brackets = 0
    for key in document:  # its items would be copied to Python's own
        value = document[key]
        if key == "inputs":
            tensors = [_tensor(tensor) for tensor in value]
            payload[key] = [tensor for tensor, _ in tensors]
            brackets += 1 + sum(count for _, count in tensors)
        elif key == "outputs":
            payload[key] = value.as_list()
            brackets += 1
        else:
            payload[key] = _plain(value)
    # Arrays lose how deep their lists were, so there must be no list beside those counted.
    once = len(payload) == len(document) and brackets == body.count(b"[")
    return payload if once else None


def _tensor(value: Any) -> tuple[dict[str, Any], int]:
    """A tensor, and how many lists it holds."""
    tensor, brackets = {}, 2
    for key in value:
        if key != "data":
            tensor[key] = _plain(value[key])
    if len(tensor) + 1 != len(value):
        raise ValueError("a key comes twice, or there is no data")
    data = value["data"]
    if hasattr(data[0], "as_buffer"):
        width = tensor["shape"][1]
        if any(len(row) != width for row in data):
            raise ValueError("the rows are ragged")
        brackets += len(data)
    tensor["data"] = _cells(data, tensor["datatype"])
    return tensor, brackets


def _cells(data: Any, datatype: Any) -> Any:
    if datatype in FLOATS:
        try:
            return np.frombuffer(data.as_buffer(of_type="d"))
        except (ValueError, TypeError):
            pass  # a null or a text; the careful way looks at each
    return data.as_list()


def _plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return value.as_list() if hasattr(value, "as_list") else value
