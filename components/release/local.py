"""Release on this machine: the new server takes over the callers' port, and no request is lost."""

import contextlib
import sys
import time
from dataclasses import replace
from pathlib import Path

from shipway.components.lib import serving
from shipway.components.lib.errors import EndpointError
from shipway.components.lib.model_store import ModelStore
from shipway.components.lib.serving import ServingRecord

SETTLE_SECONDS = 10.0


def promote_local(candidate: ServingRecord, store: ModelStore, model_store: str) -> None:
    """Let a proven candidate take over the port that callers use.

    The old server hands over the socket on which it listens: for a moment both accept from one
    queue, so that no connection is refused or reset. The champion's pointer moves while the old
    server still answers: when it cannot, the new one goes.

    Raises:
        EndpointError: the new server does not become ready, or does not answer in the end.
        ConflictError: the champion is another one than at deployment.
    """
    folder, name = serving.serving_dir_of(model_store), candidate.model_name
    live = serving.load_record(folder, name)
    if live and live.digest == candidate.digest and serving.is_answering(live):
        store.promote(name, candidate.version, candidate.champion or None, live.endpoint)
        serving.stop_role(folder, name, serving.CANDIDATE)
        return
    with contextlib.ExitStack() as until_started:
        listener = None
        if live and live.is_running and live.port == candidate.stable_port:
            listener = until_started.enter_context(serving.take_listener(live))
        following = serving.start_server(
            replace(candidate, port=candidate.stable_port),
            serving.record_path(folder, name, serving.NEXT),
            Path(sys.executable),
            listener,
        )
    store.promote(name, candidate.version, candidate.champion or None, following.endpoint)
    following.save(serving.record_path(folder, name, serving.LIVE))
    serving.record_path(folder, name, serving.NEXT).unlink(missing_ok=True)
    if live:
        serving.stop_process(live)
    serving.stop_role(folder, name, serving.CANDIDATE)
    deadline = time.monotonic() + SETTLE_SECONDS
    while not serving.is_answering(following):
        if time.monotonic() > deadline:
            raise EndpointError(
                f"'{name}' version {candidate.version} took over {following.endpoint} and does not "
                f"answer. See {following.log}."
            )
        time.sleep(0.1)


def roll_back_local(model_name: str, model_store: str) -> None:
    """Stop the candidate and what was to follow; the live endpoint was never touched."""
    folder = serving.serving_dir_of(model_store)
    for role in (serving.CANDIDATE, serving.NEXT):
        serving.stop_role(folder, model_name, role)
