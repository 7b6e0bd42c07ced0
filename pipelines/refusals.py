"""What a Kubeflow Pipelines API says when it does not do what was asked, with the cure."""

import base64
import datetime
import json
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import httpx

from shipway.components.lib.errors import KubeflowError

PORT_FORWARD = (
    "kubectl -n kubeflow port-forward svc/ml-pipeline-ui 8080:80, then --host http://localhost:8080"
)
ABORTED = 10  # of gRPC; HTTP says 409, as when a name is taken


class UnreachableError(KubeflowError):
    """Nothing answers, or nothing that can be trusted."""


class PassingError(KubeflowError):
    """It may go well a little later; `retry_after` says when, in seconds, if the server did."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TakenError(KubeflowError):
    """The name is in use."""


class RefusedError(KubeflowError):
    """The request is wrong, or the server fails at it."""


class MissingError(KubeflowError):
    """There is no such path or object."""


@dataclass(frozen=True)
class Access:
    """Where an API is and how to be let in.

    Attributes:
        host: base URL, as the dashboard has it.
        namespace: the user's namespace; empty where an installation has one user.
        token_file: file with a bearer token, if any.
        ca_file: file with the certificates to trust instead of the system's, if any.
    """

    host: str
    namespace: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None


def no_answer(error: httpx.TransportError, access: Access) -> KubeflowError:
    """Why a request got no answer at all."""
    host = access.host
    causes = _causes(error)
    name = httpx.URL(host).host
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        proxy = ", or that of the proxy in the environment," if getproxies() else ""
        return UnreachableError(f"The name '{name}' of --host{proxy} does not resolve; check it.")
    tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return UnreachableError(
            f"{host} has a certificate that is not trusted ({tls.verify_message}); name the "
            "certificate of its authority: --ca-file FILE."
        )
    if tls:
        return UnreachableError(
            f"{host} does not speak TLS ({tls.reason or tls}); is it http:// instead of https://?"
        )
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return UnreachableError(
            f"{host} cannot be reached ({error}); is it up, and is its port forwarded? "
            f"{PORT_FORWARD}"
        )
    return PassingError(f"{host} broke off before it answered ({type(error).__name__}: {error}).")


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def refusal(response: httpx.Response, access: Access, token: str) -> KubeflowError | None:
    """Why an answer is none; None when it is one.

    Args:
        response: the answer.
        access: where it came from, and with which namespace and token file.
        token: what was sent; never part of a message, even where the server repeats it.
    """
    status, text = response.status_code, _text(response)
    text = text.replace(token, "***") if token else text
    if status in (429, 502, 503, 504):
        return PassingError(
            f"{access.host} is busy ({status} {text}); try again later.", _retry_after(response)
        )
    if response.is_redirect or _is_page(response):
        return _page(response, access)
    if status == 401:
        return _unauthorised(access, token, text)
    if status == 403:
        return _forbidden(access, token, text)
    if status == 404:
        return MissingError(f"{access.host} has no {response.url.path}: {text}.")
    if status == 409 and _fields(response).get("code") != ABORTED:
        return TakenError(f"{access.host} has one of that name already: {text}.")
    return RefusedError(f"{access.host} refuses ({status}): {text}.") if status >= 400 else None


def _is_page(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "")
    return kind.startswith("text/html") or response.text.lstrip()[:1] == "<"


def _page(response: httpx.Response, access: Access) -> KubeflowError:
    if response.is_redirect:
        target = response.headers.get("location", "")
        what = f"redirects to {target.split('?')[0]}"
    else:
        title = re.search(r"<title>\s*(.*?)\s*</title>", response.text, re.DOTALL | re.IGNORECASE)
        what = f"answers with an HTML page ({title.group(1)!r})" if title else "answers with HTML"
    return KubeflowError(
        f"{access.host} {what} instead of JSON: a login stands before the API, or this is another "
        f"server. Give a token with --token-file, or go round the login: {PORT_FORWARD}"
    )


def _unauthorised(access: Access, token: str, text: str) -> KubeflowError:
    if not token:
        return KubeflowError(f"{access.host} wants a token (401: {text}); give --token-file FILE.")
    claims = _claims(token)
    ended = ""
    if isinstance(claims.get("exp"), (int, float)):
        end = datetime.datetime.fromtimestamp(claims["exp"], datetime.UTC)
        if end < datetime.datetime.now(datetime.UTC):
            ended = f", which expired at {end:%Y-%m-%d %H:%M:%S} UTC"
    return KubeflowError(
        f"{access.host} does not accept the token in '{access.token_file}'{ended} (401: {text}). "
        f"Write a new one there: kubectl -n {access.namespace or 'NAMESPACE'} create token "
        "default-editor --audience pipelines.kubeflow.org"
    )


def _forbidden(access: Access, token: str, text: str) -> KubeflowError:
    account = str(_claims(token).get("sub", "")) or "of this token" if token else "without a token"
    name = account.rpartition(":")[2] if account.startswith("system:serviceaccount:") else ""
    where = f"namespace '{access.namespace}'" if access.namespace else "this installation"
    cure = "Ask for the role kubeflow-edit there"
    if name and access.namespace:
        owner = account.split(":")[2]
        cure += (
            f": kubectl -n {access.namespace} create rolebinding {name}-edit "
            f"--clusterrole kubeflow-edit --serviceaccount {owner}:{name}"
        )
    return KubeflowError(f"The account {account} may not do this in {where} (403: {text}). {cure}.")


def _claims(token: str) -> dict[str, Any]:
    """What a JSON web token says of itself, unverified; empty for any other token."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _fields(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(response: httpx.Response) -> str:
    """The server's own words: of its gateway, of its upload handler, or whatever it sent."""
    fields = _fields(response)
    text = fields.get("message") or fields.get("error_message") or fields.get("error")
    if not text and not _is_page(response):
        text = " ".join(response.text.split())[:500]
    return str(text or response.reason_phrase).rstrip(".")


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else 0.0
