"""The label column: which task it stands for, and its values as numbers."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.errors import ConfigurationError, DataError, nearest
from shipway.components.lib.kinds import is_number, is_text
from shipway.components.lib.task import TASKS, Target

MAX_INTEGER_CLASSES = 10
MAX_CLASSES = 200
MAX_RELEVANCE = 31  # the most that XGBoost takes


def encode_labels(target: Target, labels: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """The label as numbers.

    Returns:
        float32 values of a number, else int32 codes into the classes; shape (n,).

    Raises:
        DataError: a label is missing or not finite, or is a class that training did not have.
    """
    if labels.null_count:
        raise DataError(
            f"{labels.null_count:,} labels are missing; drop those rows before this step."
        )
    if target.kind.numeric:
        with np.errstate(over="ignore"):
            values = pc.cast(labels, pa.float64()).to_numpy().astype(np.float32)
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise DataError(
                f"{len(wrong):,} of {len(values):,} labels are not finite or beyond 3.4e38 (first: "
                f"row {wrong[0] + 1:,}); drop those rows, or bring the label in a larger unit."
            )
        return np.asarray(values)
    codes = pc.index_in(_comparable(labels), _comparable(pa.array(target.classes)))
    if codes.null_count:
        unknown = labels.filter(pc.is_null(codes))[0].as_py()
        raise DataError(
            f"The label holds {unknown!r}, which training did not have (it had "
            f"{target.classes[:10]}). Train on data that holds every class."
        )
    return np.asarray(codes.to_numpy(), dtype=np.int32)


def _comparable(labels: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Labels in a type in which equal classes are equal: text, or float64 for all numbers."""
    if pa.types.is_dictionary(labels.type):
        labels = labels.cast(labels.type.value_type)
    if pa.types.is_boolean(labels.type):
        labels = pc.cast(labels, pa.uint8())
    if pa.types.is_integer(labels.type) or pa.types.is_floating(labels.type):
        return pc.cast(labels, pa.float64())
    return pc.cast(labels, pa.string())


def infer_task(labels: pa.ChunkedArray | pa.Array) -> Target:
    """Tell the task from the label's type and values.

    Text and booleans are classes; so are whole numbers with at most 10 distinct values that are
    codes (0, 1, 2, ... or 1, 2, 3, ...) or just two; all other numbers are a regression. A ranking
    is never inferred: no column says that rows are ordered among each other.

    Args:
        labels: the label column, nulls allowed.

    Raises:
        DataError: the label has no value, one value only, or is of a type that cannot be learnt.
    """
    distinct = _distinct(labels)
    if is_number(labels.type):
        whole = all(float(value).is_integer() for value in distinct)
        codes = whole and {int(v) for v in distinct} in (
            set(range(len(distinct))),
            set(range(1, len(distinct) + 1)),
        )
        if not (whole and (len(distinct) == 2 or (codes and len(distinct) <= MAX_INTEGER_CLASSES))):
            return Target("regression")
    return _classification(labels.type, distinct)


def resolve_target(labels: pa.ChunkedArray | pa.Array, task: str = "auto") -> Target:
    """The inferred target, or the one that was asked for.

    Raises:
        ConfigurationError: the task is unknown, or does not fit the label.
        DataError: as `infer_task`.
    """
    if task in ("", "auto"):
        return infer_task(labels)
    if task not in TASKS:
        raise ConfigurationError(
            f"task='{task}' is unknown: it is auto, {', '.join(TASKS)}.{nearest(task, TASKS)}"
        )
    distinct = _distinct(labels)
    if TASKS[task].numeric:
        if not is_number(labels.type):
            raise ConfigurationError(
                f"task='{task}' needs a label of numbers; this one is {labels.type}. "
                "Choose another label, or task='auto'."
            )
        if task == "ranking":
            _check_relevance(distinct)
        return Target(task)
    target = _classification(labels.type, distinct)
    if task == "binary" and target.task != "binary":
        raise ConfigurationError(
            f"task='binary' needs a label of two values; this one has {len(distinct)}: "
            f"{sorted(map(str, distinct))[:10]}. Use task='multiclass', or another label."
        )
    return target


def _check_relevance(distinct: list[Any]) -> None:
    """Refuse labels that are no graded relevance: gains are 2^relevance, so it must be small."""
    wrong = [v for v in distinct if not (0 <= v <= MAX_RELEVANCE and float(v).is_integer())]
    if wrong:
        raise DataError(
            f"task='ranking' needs a graded relevance, whole numbers from 0 (not relevant) to "
            f"{MAX_RELEVANCE}; the label holds {wrong[0]!r}. Grade it, for example in five steps, "
            "or use task='regression'."
        )


def _distinct(labels: pa.ChunkedArray | pa.Array) -> list[Any]:
    kind = labels.type.value_type if pa.types.is_dictionary(labels.type) else labels.type
    if not (is_number(kind) or pa.types.is_boolean(kind) or is_text(kind)):
        raise DataError(f"The label is of type {kind}; it must be numbers, text or booleans.")
    known = pc.drop_null(pc.unique(labels))
    distinct = known.filter(pc.is_finite(known)) if pa.types.is_floating(kind) else known
    values: list[Any] = distinct.to_pylist()
    if len(values) < 2:
        held = f"only the value {values[0]!r}" if values else "no value at all"
        raise DataError(
            f"The label holds {held}, so there is nothing to learn. Choose another label, or data "
            "in which it varies."
        )
    return values


def _classification(kind: pa.DataType, distinct: list[Any]) -> Target:
    if len(distinct) > MAX_CLASSES:
        raise DataError(
            f"The label has {len(distinct):,} distinct values; a classification takes at most "
            f"{MAX_CLASSES}. Choose another label, or task='regression' for numbers."
        )
    if is_number(kind) and all(float(value).is_integer() for value in distinct):
        distinct = [int(value) for value in distinct]
    elif is_number(kind):
        raise DataError(
            f"The label holds fractions such as {distinct[0]!r}: use task='regression'."
        )
    classes = sorted(distinct)
    if len(classes) == 2:
        return Target("binary", classes, classes[-1])
    return Target("multiclass", classes)
