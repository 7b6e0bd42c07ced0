"""KServe's V2 protocol, the Open Inference Protocol, over HTTP: tensors in, tensors out."""

from typing import Any

import numpy as np
import orjson

from shipway.components.lib.scoring import Prediction
from shipway.components.predictor.binary import BinaryBody, encode, split
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.envelope import Envelope, read_envelope
from shipway.components.predictor.features import Batch
from shipway.components.predictor.lean import LeanTensors
from shipway.components.predictor.long_tensors import quick_payload
from shipway.components.predictor.outputs import Outputs
from shipway.components.predictor.parsing import LONG_BODY, LongBodies, parsed
from shipway.components.predictor.questions import Question
from shipway.components.predictor.tensors import read_tensors


class V2:
    """Reads V2 requests for an engine, and writes the answers."""

    def __init__(self, engine: Engine) -> None:
        """Prepare what is the same in every answer."""
        self._engine = engine
        self._lean = LeanTensors(engine.schema, engine.reader, engine.max_rows)
        self._long = LongBodies()
        self.outputs = Outputs(engine)

    def read(self, body: bytes, json_length: int | None = None) -> Question:
        """Read the body of an infer request.

        Args:
            body: JSON, or JSON with the bytes of tensors after it.
            json_length: how many bytes of it are JSON; None for all.

        Raises:
            Refusal: it is not a request that this model can answer.
        """
        task, names = self._engine.task, self.outputs.names
        if json_length is not None:
            head, tail = split(body, json_length)
            return self.question(read_envelope(parsed(head), task, names, tail))
        payload = None
        if len(body) > LONG_BODY:
            payload = self._long.read(body, lambda document: quick_payload(document, body))
        return self.question(read_envelope(payload or parsed(body), task, names))

    def question(self, envelope: Envelope) -> Question:
        """Read the tensors of a request that was taken apart, by whatever way it came.

        Raises:
            Refusal: as `read`.
        """
        engine, wishes = self._engine, envelope.wishes
        batch = None
        if wishes.null_text is None:
            batch = self._lean.read(envelope.tensors)
        if batch is None:
            cells = read_tensors(envelope.tensors, engine.schema, engine.max_rows, wishes.null_text)
            if not isinstance(cells, np.ndarray):
                batch = engine.reader.read_columns(cells)
            elif engine.reader.all_numbers:
                batch = Batch(cells)
            else:  # more is made of some number
                columns = dict(zip(engine.schema.names, cells.T, strict=True))
                batch = engine.reader.read_columns(columns)
        return Question(
            batch, wishes.options, envelope.request_id, list(wishes.outputs), wishes.binary
        )

    def answer(self, question: Question, prediction: Prediction) -> bytes:
        """Write the answer: JSON, with bytes after it where outputs were asked for as such."""
        engine = self._engine
        answer: dict[str, Any] = {"model_name": engine.name, "id": question.request_id}
        if engine.version:
            answer["model_version"] = engine.version
        parameters: dict[str, Any] = {"model_digest": engine.digest}
        threshold = self.outputs.threshold(question)
        if threshold is not None:
            parameters["threshold"] = threshold
        answer["parameters"] = parameters
        outputs, parts = [], []
        for name, datatype, shape, data, about in self.outputs.of(question, prediction):
            output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
            if about:
                output["parameters"] = about
            if name in question.binary or (name == "classes" and question.binary):
                parts.append(encode(data))
                output["parameters"] = {**about, "binary_data_size": len(parts[-1])}
            else:
                output["data"] = data
            outputs.append(output)
        answer["outputs"] = outputs
        content = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        if not parts:
            return content
        body = BinaryBody(b"".join([content, *parts]))
        body.json_length = len(content)
        return body
