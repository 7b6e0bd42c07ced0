"""The model behind the protocols: rows that were read in, predictions out, and what it is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from shipway.components.lib.features import round_features, to_float32
from shipway.components.lib.model_package import ModelPackage
from shipway.components.lib.response import Response
from shipway.components.lib.scoring import Prediction, Scorer
from shipway.components.predictor.columns import DATATYPES, Schema
from shipway.components.predictor.explain import Explainer, Explanation, described
from shipway.components.predictor.features import FeatureReader
from shipway.components.predictor.margins import FastMargins
from shipway.components.predictor.questions import Options
from shipway.components.predictor.refusals import Refusal
from shipway.components.predictor.schema import schema_of


class Engine:
    """One loaded model and what it says of itself.

    Attributes:
        name: the model's name in the URLs.
        version: its version; "" when it was not given.
        digest: of the model package.
        task: "binary", "multiclass", "regression" or "ranking".
        numeric: whether its answers are numbers, and not classes.
        threshold: probability from which on the positive class is the answer; binary only.
        labels: the classes as answers give them, in the order of the probabilities.
        classes: as text, in that order.
        max_rows: most rows in a request.
        max_explain_rows: most rows in a request that asks why.
        response: of a regression: how margins become values.
        space: what contributions add up to: "log_odds", "value" or "log_value".
        refuse_unknown: whether a category that training did not see is refused.
        example: a raw row that training kept, of the columns alone.
        schema: the raw columns.
        plan: what becomes of them.
        reader: makes features of their cells.
        observe: is told of every batch that was scored, also from threads.
    """

    def __init__(
        self,
        package: ModelPackage,
        *,
        name: str = "",
        version: str = "",
        max_rows: int = 100_000,
        max_explain_rows: int = 1_000,
        threads: int = 1,
        refuse_unknown: bool = False,
    ) -> None:
        """Prepare a package for answering."""
        signature = package.signature
        self.name = name or signature.name
        self.version = version
        self.digest: str = package.digest
        self.task: str = signature.task
        self.threshold: float | None = signature.threshold
        self.labels = signature.classes
        self.classes = [str(label) for label in signature.classes]
        self.max_rows = max_rows
        self.max_explain_rows = max_explain_rows
        self.response = Response.from_json(signature.response)
        self.space = "log_odds"
        self.numeric = signature.target.kind.numeric
        if self.numeric:
            self.space = "log_value" if self.response.link == "log" else "value"
        self.schema: Schema = schema_of(signature)
        self._scorer = Scorer(package.booster, signature)
        self.plan = plan = self._scorer.plan
        self.observe: Callable[[np.ndarray, Prediction], None] | None = None
        self.reader = FeatureReader(self.schema, plan, refuse_unknown=refuse_unknown)
        transform = plan.row_transformer()
        golden = np.stack([transform(row) for row in package.golden["rows"]])
        first = package.golden["rows"][0]
        self.example = {name: first.get(name) for name in self.schema.names}
        self.refuse_unknown = refuse_unknown
        self._widen = plan.widener()
        self._margins = FastMargins(package.booster, golden, threads)
        self._explainer = Explainer(package.booster, plan, threads)

    def check_asked(self, name: str, version: str | None = None) -> None:
        """Refuse a request for another model, or for another version of it, as 404."""
        if name != self.name:
            raise Refusal(
                f"There is no model '{name[:60]}' here; this server has '{self.name}'.", 404
            )
        if version and version != self.version:
            has = f"'{self.version}'" if self.version else "one without a version"
            raise Refusal(
                f"Model '{name}' has no version '{version[:60]}' here; this server has {has}.", 404
            )

    def score(self, features: np.ndarray) -> Prediction:
        """Score rows: float64 of shape (n, k), as the reader makes them of the columns."""
        rows = round_features(self._widen(features))
        prediction = self._scorer.score_margins(self._margins(rows))
        if self.observe is not None:
            self.observe(features, prediction)
        return prediction

    def wished(self, prediction: Prediction, options: Options) -> Prediction:
        """The prediction with the labels of the threshold that the request asks for."""
        if options.threshold is None or prediction.probabilities is None:
            return prediction
        labels = (prediction.probabilities[:, 1] >= options.threshold).astype(np.int32)
        return replace(prediction, labels=labels)

    def explain(
        self, features: np.ndarray, prediction: Prediction, options: Options
    ) -> Explanation:
        """What each column adds to the margin: milliseconds a row, so not for the event loop.

        A binary answer is explained by the margin of its positive class, one of several classes by
        that of the class that is the answer, or of the one that the request names; a value with an
        interval by the median's trees.

        Args:
            features: as `score` takes them.
            prediction: what `score` made of them.
            options: the wishes of the request.

        Raises:
            Refusal: there are too many rows (413).
        """
        count = len(features)
        if count > self.max_explain_rows:
            raise Refusal(
                f"The request holds {count:,} rows to explain; this server explains at most "
                f"{self.max_explain_rows:,} at once. Send them in parts.",
                413,
            )
        rows = to_float32(self._widen(features))
        codes: np.ndarray | None = None
        if self.task == "binary":
            codes = np.ones(count, dtype=np.int32)
        elif self.response.coverage:
            medians = self._explainer(rows, np.ones(count, dtype=np.int32))
            return replace(medians, codes=None)
        elif options.explain_class is not None:
            codes = np.full(count, options.explain_class, dtype=np.int32)
        elif prediction.labels is not None:
            codes = prediction.labels
        return self._explainer(rows, codes)

    def outputs(
        self, prediction: Prediction, options: Options, explanation: Explanation | None = None
    ) -> list[dict[str, Any]]:
        """The answer for each row, as JSON objects: as in training, but for the wishes.

        Args:
            prediction: of n rows.
            options: the wishes of the request.
            explanation: of the same rows, to be added to the answers.
        """
        outputs = self._scorer.outputs(self.wished(prediction, options))
        if options.top_k:
            for output in outputs:
                ranked = sorted(output["probabilities"].items(), key=_by_probability)
                output["probabilities"] = dict(ranked[: options.top_k])
        if explanation is not None:
            reasons = described(explanation, self.schema.names, self.labels, options.top_features)
            for output, reason in zip(outputs, reasons, strict=True):
                output.update(reason)
        return outputs

    def output_types(self) -> list[dict[str, Any]]:
        """Names, datatypes and shapes of the outputs, as V2 metadata gives them."""
        if self.numeric:
            value = {"name": "value", "datatype": "FP64", "shape": [-1]}
            ends = {"name": "interval", "datatype": "FP64", "shape": [-1, 2]}
            return [value, ends] if self.response.coverage else [value]
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, len(self.classes)]},
        ]

    def input_types(self) -> list[dict[str, Any]]:
        """Names, datatypes and shapes of the inputs, as V2 metadata gives them."""
        return [
            {"name": column.name, "datatype": DATATYPES[column.dtype], "shape": [-1]}
            for column in self.schema.columns
        ]

    def metadata(self) -> dict[str, Any]:
        """The V2 model metadata, with what each column may hold and the classes."""
        inputs = self.input_types()
        for told, column in zip(inputs, self.schema.columns, strict=True):
            told["parameters"] = {"nullable": column.nullable, **column.details}
        outputs = self.output_types()
        if not self.numeric:
            outputs[1]["parameters"] = self.class_parameters()
        elif self.response.coverage:
            outputs[1]["parameters"] = {"coverage": self.response.coverage}
        return {
            "name": self.name,
            "versions": [self.version] if self.version else [],
            "platform": "shipway_xgboost",
            "inputs": inputs,
            "outputs": outputs,
            "parameters": {"model_digest": self.digest, "task": self.task},
        }

    def class_parameters(self) -> dict[str, str]:
        """The classes as a parameter of a tensor: those are scalars, so the list goes as text."""
        return {"classes": orjson.dumps(self.classes).decode()}


def _by_probability(item: tuple[str, float]) -> float:
    return -item[1]
