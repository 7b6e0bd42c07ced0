"""Broken requests against the gateway in this process, as ASGI: `python tests/fuzz/gateway.py`.

No answer may be a 5xx, every refusal is `{"error": text}` with a 4xx, and every answer is the
scorer's.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from shipway.components.lib.model_package import ModelPackage, load_package
from shipway.components.lib.scoring import Scorer
from shipway.components.predictor.engine import Engine
from shipway.components.predictor.gateway import Gateway
from shipway.components.predictor.health import Health
from shipway.components.predictor.limits import Limits
from shipway.components.predictor.metrics import Metrics, value_bounds
from shipway.components.predictor.observing import Observer
from shipway.components.predictor.request_log import RequestLog

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.fuzz.bodies import Request, Requests

REFUSED = {400, 405, 413, 415, 422}
ROUNDED = {"FP32", "FP16"}
MAX_BODY = 1 << 20


class Judge:
    """Holds answers against what the model's own scorer says of the same rows."""

    def __init__(self, package: ModelPackage) -> None:
        self.package = package
        self._scorer = Scorer(package.booster, package.signature)
        self._transform = self._scorer.plan.row_transformer()
        self._dtypes = {feature.name: feature.dtype for feature in package.signature.features}

    def requests(self, seed: int) -> Requests:
        rows = [{n: row[n] for n in self._dtypes} for row in self.package.golden["rows"]]
        return Requests(self.package.signature.name, list(self._dtypes.items()), rows, seed)

    def complaint(self, request: Request, status: int, content: bytes) -> str:
        """What is wrong with an answer; "" when nothing is."""
        if status != 200:
            if request.whole or status not in REFUSED:
                return f"status {status}"
            error = json.loads(content)
            told = isinstance(error.get("error"), str) and error["error"]
            return "" if list(error) == ["error"] and told else "no error text"
        answer = json.loads(content)
        if any(name == b"inference-header-content-length" for name, _ in request.headers):
            return "" if len(answer["outputs"]) >= 1 else "no outputs"
        payload = json.loads(request.body)
        rows = self._rows(payload)
        if rows is None:
            return ""
        expected = self._scorer.outputs(
            self._scorer.score_matrix(np.stack([self._transform(row) for row in rows]))
        )
        return _difference(answer, expected, "parameters" in payload)

    def _rows(self, payload: Any) -> list[dict] | None:
        """The rows of a request that was answered, or None where they are not easily told."""
        inputs = payload.get("inputs")
        if inputs is None:
            rows = payload["instances"]
            if isinstance(rows[0], list):
                rows = [dict(zip(self._dtypes, row, strict=True)) for row in rows]
        elif isinstance(inputs, dict):
            rows = _turned(inputs)
        elif "parameters" in payload or any(t["datatype"].upper() in ROUNDED for t in inputs):
            return None
        else:
            rows = _turned({t["name"]: np.ravel(_objects(t["data"])).tolist() for t in inputs})
        return [{name: self._cell(name, row[name]) for name in self._dtypes} for row in rows]

    def _cell(self, name: str, cell: Any) -> Any:
        if self._dtypes[name] != "string" or cell is None or isinstance(cell, str):
            return cell
        return str(cell).lower() if isinstance(cell, bool) else repr(cell)


def _objects(data: list) -> np.ndarray:
    return np.array(data, dtype=object)


def _turned(columns: dict[str, list]) -> list[dict]:
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _difference(answer: dict, expected: list[dict], wished: bool) -> str:
    if "outputs" in answer:
        outputs = {output["name"]: output for output in answer["outputs"]}
        if "probabilities" not in outputs:
            return ""
        got = outputs["probabilities"]["data"]
        wanted = [p for output in expected for p in output["probabilities"].values()]
        return "" if got == wanted else "other probabilities than the scorer's"
    got_rows = answer.get("predictions") or answer["explanations"]
    if len(got_rows) != len(expected):
        return "another number of rows"
    for got, wanted in zip(got_rows, expected, strict=True):
        for name, value in got["probabilities"].items():
            if wanted["probabilities"][name] != value:
                return "other probabilities than the scorer's"
        if not wished and got["label"] != wanted["label"]:
            return "another label than the scorer's"
    return ""


def open_gateway(path: Path) -> tuple[Gateway, Judge]:
    """The gateway of a model package, as the server builds it, with nothing behind it."""
    package = load_package(path)
    engine = Engine(load_package(path))
    metrics = Metrics(engine, value_bounds(path))
    engine.observe = metrics.scored
    observer = Observer(metrics, RequestLog(0.0, "text"))
    limits = Limits(512, MAX_BODY, 30)
    health = Health(engine.name, engine.version)
    return Gateway(_nothing, engine, MAX_BODY, observer, limits, health), Judge(package)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError(f"{scope['path']} went to the application behind")


async def ask(gateway: Gateway, request: Request) -> tuple[int, bytes]:
    """Send a request to an ASGI application.

    Returns:
        The status, 0 when there was none, and the body.
    """
    scope = {"type": "http", "method": "POST", "path": request.path, "headers": request.headers}
    seen: dict[str, Any] = {"status": 0, "body": b""}

    async def receive() -> dict:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: dict) -> None:
        seen["status"] = message.get("status", seen["status"])
        seen["body"] += message.get("body", b"")

    await gateway(scope, receive, send)
    return seen["status"], seen["body"]


async def fuzz(path: Path, count: int, seed: int) -> tuple[Counter, list[str]]:
    """Ask so many times.

    Returns:
        How often each status came, and what was wrong.
    """
    gateway, judge = open_gateway(path)
    requests, statuses, wrong = judge.requests(seed), Counter(), []
    for index in range(count):
        request = requests.next()
        status, content = await ask(gateway, request)
        statuses[status] += 1
        if complaint := judge.complaint(request, status, content):
            wrong.append(f"{index}: {complaint}: {request} -> {content[:200]!r}")
    return statuses, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_dir", type=Path, required=True, help="a model package")
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    began = time.monotonic()
    statuses, wrong = asyncio.run(fuzz(flags.model_dir, flags.inputs, flags.seed))
    for line in wrong[:20]:
        print(line[:1_500])
    seconds = time.monotonic() - began
    print(f"{flags.inputs:,} requests in {seconds:.0f} s: {dict(statuses)}; {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
