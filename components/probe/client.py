"""Asking a candidate's endpoint what the golden rows get, by both protocols."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from shipway.components.lib.errors import ConfigurationError, EndpointError
from shipway.components.lib.files import sha256_of

DIGEST_HEADER = "x-shipway-model-digest"
DATATYPES = {"number": "FP64", "string": "BYTES", "boolean": "BOOL"}
CONNECT_RETRIES = 4

Row = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """Where a candidate answers and what it should be: the serving record that deploy wrote."""

    target: str
    model_name: str
    version: str
    digest: str
    v1_url: str
    v2_url: str
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read a serving record.

        Raises:
            ConfigurationError: the file is missing or lacks a field.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
            name, base = str(value["model_name"]), str(value["endpoint"]).rstrip("/")
            return cls(
                target=str(value["target"]),
                model_name=name,
                version=str(value["version"]),
                digest=str(value["digest"]),
                v1_url=str(value.get("v1_url") or f"{base}/v1/models/{name}:predict"),
                v2_url=str(value.get("v2_url") or f"{base}/v2/models/{name}/infer"),
                headers=dict(value.get("headers") or {}),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"'{path}' is not a serving record ({type(error).__name__}: {error}); run the "
                "deploy step again."
            ) from error


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
    """A context manager that talks to one candidate over one connection pool."""

    def __init__(self, record: Record, timeout_seconds: float = 30.0) -> None:
        """Prepare to ask; connecting is tried again four times, for about seven seconds."""
        self._record = record
        local = record.target == "local"
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout_seconds, connect=10.0),
            transport=httpx.HTTPTransport(retries=CONNECT_RETRIES, trust_env=not local),
            trust_env=not local,
            headers=record.headers,
        )

    def __enter__(self) -> "Endpoint":
        """Open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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

    def _post(self, url: str, payload: Any) -> Reply:
        content = json.dumps(payload, allow_nan=False)
        began = time.perf_counter()
        try:
            response = self._client.post(
                url, content=content, headers={"content-type": "application/json"}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EndpointError(
                f"{url} does not answer ({type(error).__name__}: {error}); read the log of the "
                "model server."
            ) from error
        milliseconds = (time.perf_counter() - began) * 1000
        try:
            value = response.json()
        except ValueError:
            value = None
        digest = response.headers.get(DIGEST_HEADER, "")
        return Reply(response.status_code, digest, value, milliseconds)
