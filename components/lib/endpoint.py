"""Asking an endpoint what the golden rows get, by both protocols."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import tenacity

from shipway.components.lib.answering import DIGEST_HEADER
from shipway.components.lib.errors import ConfigurationError, EndpointError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.serving_record import ServingRecord

DATATYPES = {"number": "FP64", "string": "BYTES", "boolean": "BOOL"}
CONNECT_RETRIES = 4

Row = dict[str, Any]


@dataclass(frozen=True)
class Golden:
    """The rows that a model package carries, what they must get, and how to send them."""

    rows: list[Row]
    outputs: list[Row]
    columns: list[tuple[str, str]]
    digest: str

    @classmethod
    def load(cls, package: Path) -> "Golden":
        """Read them from a model package, without loading its model.

        Raises:
            ConfigurationError: the package lacks a file or holds no golden row.
        """
        try:
            golden = json.loads((package / "golden.json").read_text(encoding="utf-8"))
            signature = json.loads((package / "signature.json").read_text(encoding="utf-8"))
            columns = [(column["name"], column["dtype"]) for column in signature["features"]]
            loaded = cls(
                golden["rows"], golden["outputs"], columns, sha256_of(package / "manifest.json")
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"'{package}' is no model package ({type(error).__name__}: {error}); train again."
            ) from error
        if not loaded.rows or len(loaded.rows) != len(loaded.outputs):
            raise ConfigurationError(
                f"'{package}' holds {len(loaded.rows)} golden rows and {len(loaded.outputs)} "
                "outputs; there must be as many of both and at least one. Train again."
            )
        return loaded


@dataclass(frozen=True)
class Reply:
    """An answer of the endpoint; `value` is its JSON, or None when it was none."""

    status: int
    digest: str
    value: Any
    milliseconds: float


class Endpoint:
    """A context manager that talks to one endpoint over one connection pool."""

    def __init__(self, record: ServingRecord, timeout_seconds: float = 30.0) -> None:
        """Prepare to ask; connecting is tried again four times, for about seven seconds."""
        self._record = record
        local = record.target == "local"
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout_seconds, connect=10.0),
            trust_env=not local,
        )

    def __enter__(self) -> "Endpoint":
        """Open."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close the connections."""
        self._client.close()

    def ask_v1(self, rows: list[Row]) -> Reply:
        """Send rows as V1 objects.

        Raises:
            EndpointError: no answer came.
        """
        return self._post(self._record.v1_url, {"instances": rows})

    def ask_v2(self, rows: list[Row], columns: list[tuple[str, str]]) -> Reply:
        """Send rows as V2 tensors, one a column.

        Raises:
            EndpointError: no answer came.
        """
        inputs = [
            {
                "name": name,
                "datatype": DATATYPES[dtype],
                "shape": [len(rows)],
                "data": [row[name] for row in rows],
            }
            for name, dtype in columns
        ]
        return self._post(self._record.v2_url, {"inputs": inputs})

    def _timed(self, url: str, content: str) -> tuple[httpx.Response, float]:
        began = time.perf_counter()
        kind = {"content-type": "application/json"}
        response = self._client.post(url, content=content, headers=kind)
        return response, (time.perf_counter() - began) * 1000

    def _post(self, url: str, payload: Any) -> Reply:
        content = json.dumps(payload, allow_nan=False)
        # Not httpx's own retries: a transport of one's own ignores the proxies of the environment.
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((httpx.ConnectError, httpx.ConnectTimeout)),
            stop=tenacity.stop_after_attempt(1 + CONNECT_RETRIES),
            wait=tenacity.wait_exponential(0.5),
            reraise=True,
        )
        try:
            response, milliseconds = again(self._timed, url, content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EndpointError(
                f"{url} does not answer ({type(error).__name__}: {error}); read the log of the "
                "model server."
            ) from error
        try:
            value = response.json()
        except ValueError:
            value = None
        digest = response.headers.get(DIGEST_HEADER, "")
        return Reply(response.status_code, digest, value, milliseconds)


def quantile(values: list[float], share: float) -> float:
    """The nearest-rank quantile of values, of which there must be one."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
