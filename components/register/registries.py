"""Hand-over of a registered version to other registries, by their REST APIs.

Each looks first for what stands there, so that a hand-over can be repeated.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import tenacity

from shipway.components.lib.errors import ConfigurationError, StoreError, nearest
from shipway.components.register import kubeflow, mlflow
from shipway.components.register.entry import Entry

TIMEOUT_SECONDS = 20.0
TRIES = 5
BUSY = {408, 429, 500, 502, 503, 504}
KINDS = {"mlflow": mlflow, "kubeflow": kubeflow}
_log = logging.getLogger(__name__)


def check(registries: Mapping[str, str], model_store: str) -> None:
    """Refuse what cannot be handed over, before anything is registered.

    Raises:
        ConfigurationError: a registry is unknown or takes no version of this store, or its URL is
            none or holds a password.
    """
    for kind, url in registries.items():
        parts = urlsplit(url)
        if kind not in KINDS:
            raise ConfigurationError(
                f"registries names '{kind}'; there are {', '.join(KINDS)}.{nearest(kind, KINDS)}"
            )
        if parts.username or parts.password:
            raise ConfigurationError(
                f"registries: the URL of '{kind}' holds a user or password. Give them to the step "
                "as environment variables from a secret."
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"registries: '{url}' of '{kind}' is no URL. Give one such as http://{kind}:5000."
            )
    if "mlflow" in registries and urlsplit(model_store).scheme in ("", "file"):
        raise ConfigurationError(
            f"registries: MLflow takes no version from a directory ('{model_store}'). Set "
            "model_store to gs://bucket/prefix or s3://bucket/prefix, or leave mlflow out."
        )


def hand_over(entry: Entry, registries: Mapping[str, str]) -> None:
    """Tell every registry of a version.

    Raises:
        StoreError: one of them failed; the others were told all the same.
    """
    failures = []
    for kind, url in registries.items():
        try:
            with _client(kind, url) as client:
                _patiently(KINDS[kind].tell, client, entry)
            _log.info("told %s at %s of %s version %s", kind, url, entry.name, entry.version)
        except (httpx.HTTPError, StoreError) as error:
            failures.append(f"{kind} at {url}: {_reason(error)}")
    if failures:
        raise StoreError(
            f"Version {entry.version} of '{entry.name}' is registered and stays, but the hand-over "
            f"failed ({'; '.join(failures)}). Run this step again once that is mended: the model "
            "is not registered a second time."
        )


def _client(kind: str, url: str) -> httpx.Client:
    """A client that signs in as the registry's own client does, from the environment."""
    token, user = "", None
    if kind == "mlflow":
        token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
        if name := os.environ.get("MLFLOW_TRACKING_USERNAME"):
            user = (name, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    else:
        path = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", ""))
        token = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base = url.rstrip("/") + KINDS[kind].PATH
    return httpx.Client(base_url=base, headers=headers, auth=user, timeout=TIMEOUT_SECONDS)


def _patiently(
    tell: Callable[[httpx.Client, Entry], None], client: httpx.Client, entry: Entry
) -> None:
    """Try again, ever more slowly, where that can help; from the start, as answers get lost."""
    tenacity.Retrying(
        retry=tenacity.retry_if_exception(_passes),
        wait=tenacity.wait_exponential_jitter(0.5, 10),
        stop=tenacity.stop_after_attempt(TRIES),
        reraise=True,
    )(tell, client, entry)


def _passes(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in BUSY
    return isinstance(error, httpx.TransportError)


def _reason(error: Exception) -> str:
    if not isinstance(error, httpx.HTTPStatusError):
        return str(error) or type(error).__name__
    answer = error.response
    cure = {401: " - renew its credentials", 403: " - give this step's account access"}
    text = " ".join(answer.text.split())[:300]
    return f"HTTP {answer.status_code} {text}{cure.get(answer.status_code, '')}"
