"""Requests to a Kubeflow Pipelines API: the token of the moment, retries, JSON or an error."""

import ssl
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import tenacity

from shipway.components import __version__
from shipway.components.lib.errors import ConfigurationError, KubeflowError
from shipway.pipelines.refusals import Access, PassingError, no_answer, refusal

# Where Kubernetes mounts them in a pod that may use the API.
MOUNTED_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
MOUNTED_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
TRIES = 6
LONGEST_PAUSE = 60.0


def find_access(
    host: str, namespace: str = "", token_file: Path | None = None, ca_file: Path | None = None
) -> Access:
    """Complete what the user gave by what a pod has mounted.

    Raises:
        ConfigurationError: the host is no URL, or a file cannot be read.
    """
    if not host:
        raise ConfigurationError(
            "No Kubeflow Pipelines is named; give --host URL or set KF_PIPELINES_ENDPOINT. In a "
            "cluster that is http://ml-pipeline.kubeflow.svc.cluster.local:8888"
        )
    try:
        url = httpx.URL(host.partition("#")[0])
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"--host '{host}' is no URL ({error}).") from error
    if url.userinfo:
        raise ConfigurationError(
            "--host must not hold a password; put a token in a file: --token-file FILE."
        )
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(
            f"--host '{host}' must begin with http:// or https://, such as http://localhost:8080"
        )
    if token_file is None and MOUNTED_TOKEN.is_file():
        token_file = MOUNTED_TOKEN
        if not namespace and MOUNTED_NAMESPACE.is_file():
            namespace = MOUNTED_NAMESPACE.read_text(encoding="utf-8").strip()
    return Access(str(url).rstrip("/"), namespace, token_file, ca_file)


class _TokenFile(httpx.Auth):
    """Sends the token that stands in a file now: mounted tokens are replaced every hour."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._path is not None:
            request.headers["authorization"] = f"Bearer {self._token(self._path)}"
        yield request

    @staticmethod
    def _token(path: Path) -> str:
        try:
            token = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
            raise ConfigurationError(
                f"Cannot read a token from '{path}' ({reason}); write one there, or name "
                "another file: --token-file FILE."
            ) from None
        if not token or not token.isprintable() or " " in token:
            raise ConfigurationError(
                f"'{path}' must hold one token and nothing else; write it anew."
            )
        return token


class Connection:
    """Asks one API; passing failures are tried again with growing pauses."""

    def __init__(self, access: Access, pause: float = 0.5) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            access: where, and how to be let in.
            pause: the first pause before a retry, in seconds.

        Raises:
            ConfigurationError: the certificates cannot be read.
        """
        self.access = access
        trust = _trust(access.ca_file)
        self._backoff = tenacity.wait_random_exponential(multiplier=pause, max=20)
        self._client = httpx.Client(
            base_url=f"{access.host}/apis/",
            auth=_TokenFile(access.token_file),
            verify=trust,
            # A forwarded port is on this machine, whatever proxy the environment names.
            mounts={f"all://{host}": httpx.HTTPTransport(trust) for host in LOOPBACK},
            timeout=httpx.Timeout(60, connect=10),
            headers={"accept": "application/json", "user-agent": f"shipway/{__version__}"},
        )

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The answer to GET, of the API version v2beta1 if the path names none."""
        return self._send("GET", path, None, params={k: v for k, v in query.items() if v})

    def post(
        self, path: str, recover: Callable[[], dict[str, Any] | None], **request: Any
    ) -> dict[str, Any]:
        """The answer to POST, which makes one thing and never two.

        Args:
            path: below the API's version.
            recover: finds what an attempt made whose answer was lost; asked before each retry.
            request: what httpx takes: json, params, files.
        """
        return self._send("POST", path, recover, **request)

    def _send(
        self,
        method: str,
        path: str,
        recover: Callable[[], dict[str, Any] | None] | None,
        **request: Any,
    ) -> dict[str, Any]:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingError),
            wait=self._wait,
            stop=tenacity.stop_after_attempt(TRIES),
            reraise=True,
        )

        def attempt() -> dict[str, Any]:
            again = retrying.statistics["attempt_number"] > 1
            made = recover() if again and recover else None
            return made if made is not None else self._once(method, path, request)

        return retrying(attempt)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, PassingError) else 0.0
        return max(min(asked, LONGEST_PAUSE), self._backoff(state))

    def _once(self, method: str, path: str, request: dict[str, Any]) -> dict[str, Any]:
        url = path if path.startswith("v1") else f"v2beta1/{path}"
        try:
            response = self._client.request(method, url, **request)
        except httpx.TransportError as error:
            raise no_answer(error, self.access) from error
        sent = response.request.headers.get("authorization", "").removeprefix("Bearer ")
        refused = refusal(response, self.access, sent)
        if refused:
            raise refused
        try:
            value = response.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise KubeflowError(
                f"{self.access.host} answers {response.url.path} with something that is not JSON; "
                "is it the API of Kubeflow Pipelines?"
            )
        return value


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"--ca-file '{ca_file}' holds no certificates that can be read ({error})."
        ) from error
