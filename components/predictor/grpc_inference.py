"""Predictions over gRPC: from the bytes of a message to those of its answer."""

from time import perf_counter
from typing import Any

from shipway.components.lib.scoring import Prediction
from shipway.components.predictor.batching import Batcher
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.limits import Limits
from shipway.components.predictor.messages import Answers, parsed_message, read_message
from shipway.components.predictor.observing import Exchange
from shipway.components.predictor.questions import Question
from shipway.components.predictor.v2 import V2

SERVICE = "inference.GRPCInferenceService"
INLINE_BYTES = 16_384


class Inference:
    """Answers the messages of one model: small ones in the event loop, long ones in a thread."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        """Take the model, and the limits of what is answered at once."""
        self._engine, self._limits = engine, limits
        self._v2 = V2(engine)
        self._answers = Answers(engine, self._v2.outputs)
        self._batcher = Batcher(engine.score)

    async def answer(self, exchange: Exchange) -> bytes:
        """The message that answers the one of an exchange.

        Raises:
            Refusal: it is not a request that this model can answer, or the server is too busy.
        """
        limits, data = self._limits, exchange.body
        limits.enter()
        try:
            if len(data) > INLINE_BYTES:
                return await limits.run(self._work, exchange, size=len(data))
            question, raw = self._read(exchange)
            if limits.in_flight > 1:
                prediction = await self._batcher.submit(question.batch.features)
            else:  # nobody else is there to share a call with
                prediction = self._engine.score(question.batch.features)
            return self._write(exchange, question, prediction, raw)
        finally:
            limits.leave()

    def _work(self, exchange: Exchange) -> bytes:
        question, raw = self._read(exchange)
        prediction = self._engine.score(question.batch.features)
        return self._write(exchange, question, prediction, raw)

    def _read(self, exchange: Exchange) -> tuple[Question, bool]:
        message = parsed_message(exchange.body)
        self._engine.check_asked(message.model_name, message.model_version)
        envelope, raw = read_message(message, self._engine.task, self._v2.outputs.names)
        exchange.question = question = self._v2.question(envelope)
        exchange.read = perf_counter()
        return question, raw

    def _write(
        self, exchange: Exchange, question: Question, prediction: Prediction, raw: bool
    ) -> bytes:
        exchange.scored = perf_counter()
        content = self._answers.write(question, prediction, raw)
        exchange.answered = perf_counter()
        return content


def scope_of(metadata: Any) -> dict[str, Any]:
    """A call as those see it who observe requests of HTTP."""
    headers = [
        (key.encode(), value if isinstance(value, bytes) else value.encode("latin-1", "replace"))
        for key, value in metadata or ()
    ]
    return {"method": "POST", "path": f"/{SERVICE}/ModelInfer", "headers": headers}


async def nowhere(message: Any) -> None:
    """Send nothing: the answer of a call is what its method returns."""
