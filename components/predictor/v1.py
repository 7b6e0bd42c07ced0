"""KServe's V1 protocol: rows or columns in, `{"predictions": [...]}` out."""

from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from shipway.components.lib.scoring import Prediction
from shipway.components.predictor import answers
from shipway.components.predictor.columns import InputColumn
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.features import Batch, Cells
from shipway.components.predictor.parsing import LONG_BODY, LongBodies, parsed
from shipway.components.predictor.questions import NO_WISHES, Options, Question, read_options
from shipway.components.predictor.rows import place_in, read_instances

# Up to so many rows, the lean way row by row beats one column by column.
FEW_ROWS = 16
# Where a body of columns says that it is one.
HEAD = 64


class V1:
    """Reads V1 requests for an engine, and writes the answers."""

    _opening = b'{"predictions":'

    def __init__(self, engine: Engine) -> None:
        """Prepare what is the same in every answer."""
        self._engine = engine
        self._long = LongBodies()
        self._texts = answers.AnswerTexts(engine.labels)
        self._few = min(FEW_ROWS, engine.max_rows)
        about = {"model_name": engine.name, "model_version": engine.version}
        if not engine.version:
            del about["model_version"]
        self._about = about | {"model_digest": engine.digest}
        self._tail = self._ending(NO_WISHES)

    def read(self, body: bytes, json_length: int | None = None) -> Question:
        """Read the body of a predict request; V1 is all JSON.

        Raises:
            Refusal: it is not a request that this model can answer.
        """
        engine = self._engine
        if len(body) > LONG_BODY:
            batch = None
            if body.find(b'"inputs"', 0, HEAD) >= 0:
                batch = self._columns(body)
            elif engine.reader.all_numbers:
                batch = self._numbers(body)
            if batch is not None:
                return Question(batch)
        payload = parsed(body)
        if type(payload) is dict and len(payload) == 1:
            rows = payload.get("instances")
            if type(rows) is list and 0 < len(rows) <= self._few:
                batch = engine.reader.read_rows(rows)
                if batch is not None:
                    return Question(batch)
        columns = read_instances(payload, engine.schema, engine.max_rows)
        options = NO_WISHES
        if "parameters" in payload:
            options = read_options(payload["parameters"], engine.task, engine.classes)
        return Question(engine.reader.read_columns(columns), options)

    def answer(self, question: Question, prediction: Prediction) -> bytes:
        """Write the answer."""
        options, engine = question.options, self._engine
        if options is NO_WISHES:
            if question.rows > answers.FEW_ROWS:
                return self._opening + self._texts.text(prediction) + self._tail
            return self._opening + orjson.dumps(engine.outputs(prediction, options)) + self._tail
        explanation = None
        if options.explain:
            explanation = engine.explain(question.batch.features, prediction, options)
        outputs = engine.outputs(prediction, options, explanation)
        return self._opening + orjson.dumps(outputs) + self._ending(options)

    def _ending(self, options: Options) -> bytes:
        about: dict[str, Any] = dict(self._about)
        threshold = self._engine.threshold if options.threshold is None else options.threshold
        if threshold is not None:
            about["threshold"] = threshold
        if options.explain:
            about["space"] = self._engine.space
        return b"," + orjson.dumps(about)[1:]

    def _numbers(self, body: bytes) -> Batch | None:
        """The numbers of a body that holds list rows of nothing else; None when it does not."""

        def make(document: Any) -> Batch | None:
            if len(document) != 1:
                return None
            rows = document["instances"]
            count, width = len(rows), self._engine.reader.width
            flat = set(map(len, rows)) == {width} and body.count(b"[") == count + 1
            if not flat or count > self._engine.max_rows:
                return None
            return Batch(np.frombuffer(rows.as_buffer(of_type="d")).reshape(count, width))

        return self._long.read(body, make)

    def _columns(self, body: bytes) -> Batch | None:
        """The columns of a long body, numbers as arrays; None when a list holds more than cells."""
        engine = self._engine

        def make(document: Any) -> Batch | None:
            given = document["inputs"]
            lists = engine.schema.columns
            counts = {len(given[column.name]) for column in lists}
            if len(document) != 1 or len(given) != len(lists) or len(counts) != 1:
                return None
            if not 0 < counts.pop() <= engine.max_rows or body.count(b"[") != len(lists):
                return None
            cells = {column.name: _cells(column, given[column.name]) for column in lists}
            return engine.reader.read_columns(cells)

        return self._long.read(body, make)


def _cells(column: InputColumn, cells: Any) -> Cells:
    if column.kind == "number":
        return np.frombuffer(cells.as_buffer(of_type="d"))
    return column.check(cells.as_list(), place_in(column.name))


class V1Explain(V1):
    """Reads V1 requests of the path `:explain`, which are those to predict, and writes answers."""

    _opening = b'{"explanations":'

    def read(self, body: bytes, json_length: int | None = None) -> Question:
        """Read the body of an explain request.

        Raises:
            Refusal: as that to predict.
        """
        question = super().read(body)
        return replace(question, options=replace(question.options, explain=True))
