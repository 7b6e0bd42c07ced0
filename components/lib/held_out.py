"""A model's predictions for the test rows, beside their true labels: what a judgement rests on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.queries import query_codes, with_queries
from shipway.components.lib.tables import json_value, read_batches, read_schema
from shipway.components.lib.task import Target

FIELDS = ("probabilities", "labels", "values", "interval")  # of a prediction

if TYPE_CHECKING:
    from shipway.components.lib.model_package import ModelPackage
    from shipway.components.lib.scoring import Prediction
    from shipway.components.lib.signature import Signature


@dataclass(frozen=True)
class HeldOut:
    """Test rows as a model saw them.

    Attributes:
        target: the model's task and classes.
        y: true labels, shape (n,): values, or codes with -1 for a class training never saw;
            of a ranking with their queries (`lib/queries.py`).
        prediction: of the same rows.
        unseen: rows by class, of the classes that training never saw.
        query_column: names the query of a row; of a ranking only.
    """

    target: Target
    y: np.ndarray
    prediction: "Prediction"
    unseen: dict[str, int]
    query_column: str = ""


def score_held_out(package: "ModelPackage", test: Path) -> HeldOut:
    """Score a test Dataset batch by batch, with the model's own plan.

    Raises:
        DataError: the table is empty, lacks the label or a column of the model, or a label is
            missing.
    """
    from shipway.components.lib.scoring import Scorer

    signature = package.signature
    target = signature.target
    names = read_schema(test).names
    if signature.label not in names:
        raise DataError(
            f"The test table has no column '{signature.label}', the label of model "
            f"'{signature.name}'.{nearest(signature.label, names)} Split the table that the model "
            "was trained on."
        )
    scorer = Scorer(package.booster, signature)
    parts: list[Prediction] = []
    labels: list[pa.Array] = []
    query = _query_column(signature, names)
    queries: list[pa.Array] = []
    for batch in read_batches(test):
        if batch.num_rows:
            parts.append(scorer.score_table(pa.Table.from_batches([batch])))
            labels.append(batch.column(signature.label))
            if query:
                queries.append(batch.column(query))
    if not parts:
        raise DataError("The test table has no rows; raise test_fraction or bring more data.")
    y, unseen = _encoded(target, pa.chunked_array(labels))
    if query:
        y = with_queries(y, query_codes(pa.chunked_array(queries), query))
    return HeldOut(target, y, _joined(parts), unseen, query)


def _query_column(signature: "Signature", names: Sequence[str]) -> str:
    """The column of a ranking's queries; empty for other tasks.

    Raises:
        DataError: it is not there.
    """
    query = str(signature.plan["group_column"]) if signature.target.ranked else ""
    if query and query not in names:
        raise DataError(
            f"The test table has no column '{query}', by which the ranking '{signature.name}' "
            f"orders rows.{nearest(query, names)} Split the table that the model was trained on."
        )
    return query


def rows_of(prediction: "Prediction", rows: np.ndarray | slice) -> "Prediction":
    """The prediction of some rows.

    Args:
        prediction: of n rows.
        rows: a mask of shape (n,), row numbers, or a slice.
    """
    parts = {field: getattr(prediction, field) for field in FIELDS}
    kept: dict[str, Any] = {
        field: None if part is None else part[rows] for field, part in parts.items()
    }
    return replace(prediction, **kept)


def _joined(parts: "list[Prediction]") -> "Prediction":
    if len(parts) == 1:
        return parts[0]
    columns = {name: [getattr(part, name) for part in parts] for name in FIELDS}
    whole: dict[str, Any] = {
        name: None if c[0] is None else np.concatenate(c) for name, c in columns.items()
    }
    return replace(parts[0], **whole)


def _encoded(target: Target, labels: pa.ChunkedArray) -> tuple[np.ndarray, dict[str, int]]:
    """Labels as numbers; a class that training never saw becomes -1 and is counted."""
    if target.kind.numeric or labels.null_count:
        return target.encode(labels), {}
    if pa.types.is_dictionary(labels.type):
        labels = labels.cast(labels.type.value_type)
    distinct = pc.unique(labels)
    strange = [value for value in distinct if not _knows(target, value, labels.type)]
    if not strange:
        return target.encode(labels), {}
    unseen = pc.is_in(labels, value_set=pa.array(strange, labels.type)).to_numpy()
    y = np.full(len(labels), -1, dtype=np.int32)
    y[~unseen] = target.encode(labels.filter(pa.array(~unseen)))
    counts = Counter(str(json_value(v)) for v in labels.filter(pa.array(unseen)).to_pylist())
    return y, dict(counts.most_common())


def _knows(target: Target, value: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        target.encode(pa.array([value.as_py()], kind))
    except DataError:
        return False
    return True
