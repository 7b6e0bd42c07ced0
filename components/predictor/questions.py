"""What every protocol is read into, and what a request may ask for beside its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shipway.components.lib.task import TASKS
from shipway.components.predictor.features import Batch
from shipway.components.predictor.refusals import Refusal, listed, shown


@dataclass(frozen=True, slots=True)
class Options:
    """Wishes of one request.

    Attributes:
        threshold: in place of the model's own, of a binary classification; None for its own.
        top_k: the most probable classes to answer with; 0 for all.
        explain: whether to answer with the contributions of the columns.
        top_features: the contributions to answer with, largest first; 0 for all.
        explain_class: code of the class to explain, of several classes; None for that of the
            answer.
    """

    threshold: float | None = None
    top_k: int = 0
    explain: bool = False
    top_features: int = 0
    explain_class: int | None = None


NO_WISHES = Options()
NAMES = ("threshold", "top_k", "explain", "top_features", "explain_class")


@dataclass(frozen=True, slots=True)
class Question:
    """A request that was read and checked.

    Attributes:
        batch: its rows.
        options: its wishes.
        request_id: the caller's id of a V2 request, or "".
        outputs: names of the V2 outputs that were asked for; empty for all.
        binary: the V2 outputs among them that are sent as bytes.
    """

    batch: Batch
    options: Options = NO_WISHES
    request_id: str = ""
    outputs: list[str] = field(default_factory=list)
    binary: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """How many rows it asks about."""
        return len(self.batch.features)


def read_options(parameters: Any, task: str, classes: Sequence[str] = ()) -> Options:
    """The wishes in the `parameters` of a request.

    Args:
        parameters: as they came; names that are not known are refused.
        task: of the model; a threshold is for "binary" alone.
        classes: as text, in the order of their codes.

    Raises:
        Refusal: they are no object, or one is not known, not of its type or out of its range.
    """
    if not isinstance(parameters, Mapping):
        raise Refusal(
            f"'parameters' must be an object; {shown(parameters)} came.", cause="parameters"
        )
    for name in parameters:
        if name not in NAMES:
            raise Refusal(
                f"There is no parameter '{name[:60]}'; a request may have {listed(list(NAMES))}.",
                cause="parameters",
            )
    threshold = _threshold(parameters.get("threshold"), task)
    explain = parameters.get("explain", False)
    if type(explain) is not bool:
        raise Refusal(
            f"'explain' must be true or false; {shown(explain)} came.", cause="parameters"
        )
    top_k, top_features = (_count(parameters, name) for name in ("top_k", "top_features"))
    if top_k and TASKS[task].numeric:
        raise Refusal(
            f"'top_k' is for classification; this model's task is {task}.", cause="parameters"
        )
    explain_class = _class(parameters.get("explain_class"), task, classes)
    return Options(threshold, top_k, explain, top_features, explain_class)


def _threshold(threshold: Any, task: str) -> float | None:
    if threshold is None:
        return None
    if task != "binary":
        raise Refusal(
            f"'threshold' is for binary classification; this model's task is {task}.",
            cause="parameters",
        )
    if type(threshold) not in (int, float) or not 0 <= threshold <= 1:
        raise Refusal(
            f"'threshold' must be from 0 to 1; {shown(threshold)} came.", cause="parameters"
        )
    return float(threshold)


def _class(name: Any, task: str, classes: Sequence[str]) -> int | None:
    if name is None:
        return None
    if task != "multiclass":
        raise Refusal(
            f"'explain_class' is for several classes; this model's task is {task}.",
            cause="parameters",
        )
    if not isinstance(name, str) or name not in classes:
        raise Refusal(
            f"'explain_class' must be one of {listed(list(classes))}; {shown(name)} came.",
            cause="parameters",
        )
    return classes.index(name)


def _count(parameters: Mapping[str, Any], name: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise Refusal(
            f"'{name}' must be a whole number of 0 or more; {shown(value)} came.",
            cause="parameters",
        )
    return value
