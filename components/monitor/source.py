"""Rows to compare: a Dataset, or the rows that stand in a payload log."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shipway.components.lib.decision import Rule
from shipway.components.lib.drift.sample import draw
from shipway.components.lib.errors import DataError
from shipway.components.lib.payload_log import (
    OF_KSERVE,
    REQUEST,
    RESPONSE,
    SCHEMA,
    payload_files,
    read_payloads,
)
from shipway.components.lib.private import private_columns
from shipway.components.lib.tables import json_value, read_batches

PREDICTION = "prediction"
MAX_LOGGED_ROWS = 200_000
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Source:
    """Rows, to be read as often as needed.

    Attributes:
        path: where they are.
        tables: gives them, piece by piece, in one order.
        is_log: whether it is a payload log; its predictions stand in a column `PREDICTION`.
        rules: what was found while they were read.
        private: columns whose values are not to be told.
    """

    path: Path
    tables: Callable[[], Iterator[pa.Table]]
    is_log: bool = False
    rules: list[Rule] = field(default_factory=list)
    private: frozenset[str] = frozenset()


def open_source(path: Path) -> Source:
    """Find out what a directory holds.

    Raises:
        DataError: it holds no table and no payload log.
    """
    files = payload_files(path)
    if not files:
        raise DataError(
            f"There are no rows at '{path}': give a Dataset, which is a directory of Parquet "
            "parts, or the folder that a model server's --payload_log writes."
        )
    schema = pq.read_schema(files[0])
    names = set(schema.names)
    if names >= set(SCHEMA.names) or names >= {*OF_KSERVE.values(), "bytes"}:
        return _logged(path)
    return Source(
        path,
        lambda: (pa.Table.from_batches([b]) for b in read_batches(path)),
        private=private_columns(schema),
    )


def _logged(path: Path) -> Source:
    """The rows of the requests of a log, each with what was predicted."""
    counts = {"read": 0, "left": 0}
    table, rows = draw(_pieces(path, counts), MAX_LOGGED_ROWS, seed=0)
    kept = f" Of {rows:,} rows, {table.num_rows:,} were drawn." if table.num_rows < rows else ""
    requests = counts["read"] + counts["left"]
    sentence = f"{counts['read']:,} of {requests:,} logged requests were read.{kept}"
    verdict = "pass"
    if counts["left"]:
        verdict = "warn"
        sentence += (
            f" {counts['left']:,} are not JSON rows (binary tensors, gRPC, or broken) and are not "
            "compared. If the callers send such, compare their table instead."
        )
    rule = Rule("payload_log", verdict, sentence, float(counts["left"]), "0", n=requests)
    return Source(path, lambda: iter([table]), True, [rule])


def _pieces(path: Path, counts: dict[str, int]) -> Iterator[pa.Table]:
    """One table a file of the log; an answer in another file than its request is not found."""
    for events in read_payloads(path):
        columns = ("id", "type", "data")
        records = list(zip(*(events.column(name).to_pylist() for name in columns), strict=True))
        answers = {one: body for one, kind, body in records if kind == RESPONSE}
        rows: list[dict[str, Any]] = []
        for one, kind, body in records:
            if kind != REQUEST:
                continue
            found = request_rows(body)
            counts["left" if found is None else "read"] += 1
            made = predictions(answers.get(one, b""))
            for index, row in enumerate(found or []):
                told = {PREDICTION: made[index]} if len(made) == len(found or []) else {}
                rows.append(row | told)
        if rows:
            yield _table(rows)


def request_rows(body: bytes) -> list[dict[str, Any]] | None:
    """The rows of a V1 or V2 request; None where they cannot be read.

    V1 sends rows as "instances", or columns as "inputs"; V2 sends one tensor a column.
    """
    value = _parsed(body)
    if isinstance(rows := value.get("instances"), list):
        return rows if all(isinstance(row, dict) for row in rows) else None
    inputs = value.get("inputs")
    if isinstance(inputs, dict):
        return _turned(inputs)
    if isinstance(inputs, list) and all(isinstance(one, dict) for one in inputs):
        return _turned({str(one.get("name")): one.get("data") for one in inputs})
    return None


def _turned(columns: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    flat = {name: _flat(cells) for name, cells in columns.items()}
    if not flat or len({len(cells) for cells in flat.values()}) != 1 or not all(flat.values()):
        return None
    return [dict(zip(flat, cells, strict=True)) for cells in zip(*flat.values(), strict=True)]


def _flat(cells: Any) -> list[Any]:
    """A column of shape (n,) or (n, 1)."""
    if not isinstance(cells, list):
        return []
    return [one[0] if isinstance(one, list) and len(one) == 1 else one for one in cells]


def predictions(body: bytes) -> list[Any]:
    """The labels or values of an answer, in the order of its rows; empty where there are none."""
    value = _parsed(body)
    made = value.get("predictions")
    if isinstance(made, list):
        found = [
            one.get("label", one.get("value")) if isinstance(one, dict) else one for one in made
        ]
        return found if not any(isinstance(one, dict | list) for one in found) else []
    outputs = value.get("outputs")
    for one in outputs if isinstance(outputs, list) else []:
        if isinstance(one, dict) and one.get("name") in ("label", "value"):
            return _flat(one.get("data"))
    return []


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(cells: list[Any]) -> pa.Array:
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # numbers and texts in one column
        return pa.array([None if cell is None else str(json_value(cell)) for cell in cells])
