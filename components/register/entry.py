"""What a registry is told of a version, and how its answers are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from shipway.components.lib.errors import StoreError

DIGEST, VERSION, STORED = "shipway.digest", "shipway.version", "shipway.uri"


@dataclass(frozen=True)
class Entry:
    """A version that stands in the model store, which keeps the bytes.

    Attributes:
        name: of the model.
        version: its number in the model store.
        uri: where it lies.
        digest: of its package.
        metrics: of its evaluation.
    """

    name: str
    version: str
    uri: str
    digest: str
    metrics: Mapping[str, float]

    @property
    def description(self) -> str:
        """One line for people."""
        return f"Version {self.version} of the model store, kept at {self.uri}."

    @property
    def facts(self) -> dict[str, str]:
        """What finds the version in the store again."""
        return {DIGEST: self.digest, VERSION: self.version, STORED: self.uri}


def json_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object that a registry answered.

    Raises:
        httpx.HTTPStatusError: it refused.
        StoreError: it answered something else.
    """
    answer.raise_for_status()
    try:
        return dict(answer.json())
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{answer.request.url} answered no JSON; check that the URL is the registry's and not "
            "a login page's"
        ) from error
