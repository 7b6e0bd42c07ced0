"""KServe's stock way to serve XGBoost: a plain `kserve.Model` that makes a DMatrix a request.

It runs in an environment of its own, with the SDK's logging, middleware and one worker, as its
xgbserver does. Only the addresses are ours: the SDK listens on every interface, this on loopback.
"""

import sys
from pathlib import Path
from typing import Any

import uvicorn
import xgboost as xgb
from grpc import aio
from kserve import InferRequest, InferResponse, Model, ModelServer, logging
from kserve.utils.utils import get_predict_input, get_predict_response
from kserve_storage import Storage

MODEL = sys.argv.pop()  # the SDK read the flags when it was imported


class Stock(Model):
    def __init__(self) -> None:
        super().__init__("bench")
        folder = Path(Storage.download(f"file://{Path(MODEL).parent}"))
        self.booster = xgb.Booster(params={"nthread": 1}, model_file=folder / Path(MODEL).name)
        self.ready = True

    def predict(
        self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None
    ) -> dict[str, Any] | InferResponse:
        matrix = xgb.DMatrix(get_predict_input(payload), nthread=1)
        return get_predict_response(payload, self.booster.predict(matrix), self.name)


class Loopback(uvicorn.Config):
    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **{**options, "host": "127.0.0.1"})


if __name__ == "__main__":
    uvicorn.Config = Loopback
    add_port = aio.Server.add_insecure_port
    aio.Server.add_insecure_port = lambda server, address: add_port(
        server, address.replace("[::]", "127.0.0.1")
    )
    logging.configure_logging()
    ModelServer(workers=1).start([Stock()])
