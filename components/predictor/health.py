"""Whether the server lives and is ready, as its health routes say it."""

import orjson

from shipway.components.predictor.refusals import Refusal

LIVE = "/v2/health/live"


class Health:
    """The truth about readiness: the model is proven before the first request can come.

    Attributes:
        draining: whether the server was told to end; it answers, and should get nothing new.
    """

    def __init__(self, name: str, version: str) -> None:
        """Write the answers for a model."""
        self.draining = False
        model = orjson.dumps({"name": name, "ready": True})
        self._ready = {"/v2/health/ready": b'{"ready":true}'}
        for path in (f"/v1/models/{name}", f"/v2/models/{name}/ready"):
            self._ready[path] = model
        if version:
            self._ready[f"/v1/models/{name}/versions/{version}"] = model
            self._ready[f"/v2/models/{name}/versions/{version}/ready"] = model

    def answer(self, path: str) -> bytes | None:
        """The answer to a health route, or None where the path is none.

        Raises:
            Refusal: the server is not ready (503).
        """
        if path == LIVE:
            return b'{"live":true}'
        content = self._ready.get(path)
        if content is not None and self.draining:
            raise Refusal("The server is about to end and takes nothing new.", 503)
        return content
