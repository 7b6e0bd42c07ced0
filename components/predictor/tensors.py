"""V2 requests: `{"inputs": [...]}` with one tensor a raw column, of shape [n] or [n, 1]."""

from dataclasses import dataclass
from typing import Any

from shipway.components.predictor.columns import DATATYPES, InputColumn, Place, Schema
from shipway.components.predictor.refusals import Refusal, shown
from shipway.components.predictor.rows import check_row_count

INTEGERS = {
    f"{sign}{bits}": (low, high)
    for bits in (8, 16, 32, 64)
    for sign, low, high in (
        ("INT", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        ("UINT", 0, 2**bits - 1),
    )
}
FLOATS = ("FP64", "FP32", "FP16")
CELLS: dict[str, frozenset[type]] = {
    **dict.fromkeys(FLOATS, frozenset({int, float})),
    **dict.fromkeys(INTEGERS, frozenset({int})),
    "BYTES": frozenset({str}),
    "BOOL": frozenset({bool}),
}
EXAMPLE = (
    'send {"inputs": [{"name": "column", "datatype": "FP64", "shape": [n], "data": [...]}, ...]}'
)


@dataclass(frozen=True)
class TensorRequest:
    """A V2 request that was checked.

    Attributes:
        columns: for each column of the schema, in its order, a list of n cells.
        request_id: the caller's id, or "".
        outputs: names of the outputs that were asked for; empty for all.
    """

    columns: dict[str, list[Any]]
    request_id: str
    outputs: list[str]


def read_tensors(payload: Any, schema: Schema, max_rows: int) -> TensorRequest:
    """The cells of a V2 request, column by column.

    Raises:
        Refusal: the body is not such a request, or a tensor is not as the schema says.
    """
    if not isinstance(payload, dict):
        raise Refusal(f"The body must be a JSON object; {shown(payload)} came: {EXAMPLE}.")
    inputs = payload.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        came = shown(inputs) if "inputs" in payload else "none"
        raise Refusal(f"'inputs' must be a list of tensors; {came} came: {EXAMPLE}.")
    request_id = payload.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise Refusal(f"'id' must be text; {shown(request_id)} came.")
    tensors = _by_name(inputs, schema)
    rows = {name: _rows(tensor, name) for name, tensor in tensors.items()}
    first = next(iter(rows))
    for name, count in rows.items():
        if count != rows[first]:
            raise Refusal(
                f"Column '{name}' has {count} rows and column '{first}' has {rows[first]}; "
                "all tensors of a request must have the same."
            )
    check_row_count(rows[first], max_rows)
    columns = {column.name: _cells(tensors[column.name], column) for column in schema.columns}
    return TensorRequest(columns, request_id or "", _asked(payload.get("outputs")))


def _by_name(inputs: list[Any], schema: Schema) -> dict[str, dict[str, Any]]:
    tensors: dict[str, dict[str, Any]] = {}
    for index, tensor in enumerate(inputs):
        if not isinstance(tensor, dict):
            raise Refusal(f"Input {index} must be an object; {shown(tensor)} came: {EXAMPLE}.")
        name = tensor.get("name")
        if not isinstance(name, str):
            came = shown(name) if "name" in tensor else "none"
            raise Refusal(f"Input {index} must have a 'name', which is text; {came} came.")
        if name in tensors:
            raise Refusal(f"Column '{name[:60]}' comes twice; send one tensor a column.")
        tensors[name] = tensor
    for name in schema.names:
        if name not in tensors:
            raise schema.missing("The request", name, list(tensors))
    for name in tensors:
        if name not in schema.known:
            raise schema.unknown("The request", name)
    return tensors


def _rows(tensor: dict[str, Any], name: str) -> int:
    """The rows of a tensor, by its shape; its data must be as many."""
    shape, data = tensor.get("shape"), tensor.get("data")
    whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or shape is None or len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        came = repr(shape)[:60] if isinstance(shape, list) else shown(shape)
        raise Refusal(f"Column '{name}' must have the shape [n] or [n, 1]; {came} came.")
    if not isinstance(data, list):
        binary = (
            isinstance(tensor.get("parameters"), dict)
            and "binary_data_size" in (tensor["parameters"])
        )
        cure = " This server takes JSON tensors, not binary ones." if binary else ""
        raise Refusal(f"Column '{name}' must have 'data', a list; {shown(data)} came.{cure}")
    if len(data) != shape[0]:
        raise Refusal(f"Column '{name}' has the shape {shape} and {len(data)} values; they differ.")
    if not data:
        raise Refusal(f"Column '{name}' has no row; there is nothing to predict.")
    return len(data)


def _cells(tensor: dict[str, Any], column: InputColumn) -> list[Any]:
    datatype = tensor.get("datatype")
    label = datatype.upper() if isinstance(datatype, str) else ""
    allowed = [name for name, types in CELLS.items() if types <= column.accepted]
    if label not in allowed:
        known = "" if label in CELLS else " This server does not know that datatype."
        raise Refusal(
            f"Column '{column.name}' holds {column.expected}: its datatype may be "
            f"{', '.join(allowed)} (best {DATATYPES[column.dtype]}); {shown(datatype)} came.{known}"
        )
    cells: list[Any] = tensor["data"]
    if len(tensor["shape"]) == 2 and all(isinstance(c, list) and len(c) == 1 for c in cells):
        cells = [cell[0] for cell in cells]
    checked = column.check(cells, _place(column.name))
    _check_datatype(cells, column.name, label)
    return checked


def _check_datatype(cells: list[Any], name: str, datatype: str) -> None:
    """Refuse cells that are not of the datatype that the tensor declares."""
    types = CELLS[datatype] | {type(None)}
    low, high = INTEGERS.get(datatype, (0, 0))
    if set(map(type, cells)) <= types and datatype not in INTEGERS:
        return
    for index, cell in enumerate(cells):
        if type(cell) not in types or (low < high and cell is not None and not low <= cell <= high):
            range_ = f", which is whole and from {low} to {high}" if low < high else ""
            raise Refusal(
                f"Row {index}, column '{name}' must be of the datatype {datatype}{range_}, as its "
                f"tensor says; {shown(cell)} came."
            )


def _place(name: str) -> Place:
    return lambda index: f"Row {index}, column '{name}'"


def _asked(outputs: Any) -> list[str]:
    if outputs is None:
        return []
    if not isinstance(outputs, list):
        raise Refusal(f"'outputs' must be a list; {shown(outputs)} came.")
    names = [output.get("name") if isinstance(output, dict) else None for output in outputs]
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise Refusal(f"Output {index} must be an object with a 'name', which is text.")
    return [str(name) for name in names]
