"""A message about a run's end: to a webhook that takes JSON, or to the log."""

import logging
import os
from dataclasses import dataclass
from typing import Any

import httpx
import tenacity

WEBHOOK = "SHIPWAY_ALERT_WEBHOOK"
TIMEOUT_SECONDS = 10.0
TRIES = 3
# KFP says COMPLETE on a cluster and SUCCEEDED on one machine.
GOOD_STATES = {"SUCCEEDED", "COMPLETE", "CACHED"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        state: KFP's word for it.
        run: the run's resource name.
        error: what went wrong, where KFP says so.
        model_name: name of the model.
    """

    state: str
    run: str
    error: str
    model_name: str

    @property
    def is_good(self) -> bool:
        """Whether every step did its work; a gate may have stopped the run all the same."""
        return self.state in GOOD_STATES


def message_of(outcome: Outcome, model_store: str) -> dict[str, Any]:
    """The JSON that a webhook gets; `text` is what Slack and its kin show."""
    if outcome.is_good:
        text = f"The run for model '{outcome.model_name}' ended; its gates' pages say with what."
    else:
        text = f"The run for model '{outcome.model_name}' failed: {outcome.error or 'see its log'}."
    return {
        "text": text,
        "model_name": outcome.model_name,
        "model_store": model_store,
        "state": outcome.state,
        "run": outcome.run,
        "error": outcome.error,
    }


def send(outcome: Outcome, model_store: str = "") -> bool:
    """Send the message; a webhook that fails is logged and does not fail the run.

    Returns:
        Whether a webhook took it.
    """
    message = message_of(outcome, model_store)
    level = logging.INFO if outcome.is_good else logging.ERROR
    _log.log(level, "%s", message["text"])
    url = os.environ.get(WEBHOOK, "")
    if not url:
        _log.info("No webhook is set (%s): the log is all.", WEBHOOK)
        return False
    # The URL is a secret, and httpx logs it at INFO with every request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        _post(url, message)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # httpx's messages repeat the URL.
        _log.error("The webhook did not take the message: %s.", type(error).__name__)
        return False
    return True


@tenacity.retry(
    stop=tenacity.stop_after_attempt(TRIES),
    wait=tenacity.wait_exponential(multiplier=0.2, max=2),
    retry=tenacity.retry_if_exception_type(httpx.HTTPError),
    reraise=True,
)
def _post(url: str, message: dict[str, Any]) -> None:
    httpx.post(url, json=message, timeout=TIMEOUT_SECONDS).raise_for_status()
