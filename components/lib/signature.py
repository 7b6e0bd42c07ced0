"""The signature: what a model takes, what it answers, and how its scores become answers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from shipway.components.lib.errors import ModelPackageError
from shipway.components.lib.features import FeaturePlan
from shipway.components.lib.task import Label, Target

FORMAT = 1


@dataclass(frozen=True)
class Feature:
    """A raw column that the model takes.

    Attributes:
        name: the raw column.
        kind: what the feature plan makes of it.
        dtype: what a caller sends: "number", "string" or "boolean".
        nullable: whether training rows had it missing.
        minimum: smallest number seen in training, or None.
        maximum: largest number seen in training, or None.
        categories: values seen in training, of a category with few.
    """

    name: str
    kind: str
    dtype: str
    nullable: bool
    minimum: float | None = None
    maximum: float | None = None
    categories: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Signature:
    """What stands in `signature.json`.

    Attributes:
        name: the model's name.
        task: "binary", "multiclass", "regression" or "ranking".
        label: the column that it predicts.
        classes: the label's values in the order of the probabilities.
        positive_class: of a binary task.
        features: raw columns in the order of list rows.
        ignored: raw columns that are accepted and not used.
        plan: the feature plan as JSON.
        threshold: probability of the positive class from which on it is the answer; binary only.
        calibrator: how margins become probabilities, as JSON.
        xgboost_version: the version that wrote the booster.
        response: how margins become values, as JSON; regression only.
        format: of the package.
    """

    name: str
    task: str
    label: str
    classes: list[Label]
    positive_class: Label | None
    features: list[Feature]
    ignored: list[str]
    plan: dict[str, Any]
    threshold: float | None
    calibrator: dict[str, Any]
    xgboost_version: str
    response: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def target(self) -> Target:
        """The task with its classes."""
        return Target(self.task, list(self.classes), self.positive_class)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Signature":
        """The inverse of `to_json`.

        Raises:
            ModelPackageError: the format is another one, or a part is missing.
        """
        if value.get("format") != FORMAT:
            raise ModelPackageError(
                f"The model package has format {value.get('format')!r}; this version reads "
                f"{FORMAT}. Serve it with the version of Shipway that trained it."
            )
        try:
            features = [Feature(**feature) for feature in value["features"]]
            return cls(**{**value, "features": features})
        except (KeyError, TypeError) as error:
            raise ModelPackageError(
                f"The model's signature is not whole ({error}). Register the model again."
            ) from error


def signature_of(
    plan: FeaturePlan,
    name: str,
    threshold: float | None,
    calibrator: dict[str, Any],
    xgboost_version: str,
    response: dict[str, Any] | None = None,
) -> Signature:
    """The signature of a model that was trained with a plan."""
    features = [
        Feature(
            column.name,
            column.kind,
            column.dtype,
            column.nullable,
            column.minimum,
            column.maximum,
            column.categories,
        )
        for column in plan.columns
    ]
    target = plan.target
    return Signature(
        name=name,
        task=target.task,
        label=plan.label,
        classes=list(target.classes),
        positive_class=target.positive_class,
        features=features,
        ignored=[column.name for column in plan.dropped] + [plan.label],
        plan=plan.to_json(),
        threshold=threshold,
        calibrator=calibrator,
        xgboost_version=xgboost_version,
        response=response or {},
    )
