"""Release on this machine: the new server takes over the callers' port, and no request is lost."""

import contextlib
import sys
import time
from dataclasses import replace
from pathlib import Path

from shipway.components.lib.answering import is_answering
from shipway.components.lib.errors import EndpointError
from shipway.components.lib.model_store import ModelStore
from shipway.components.lib.serving_process import (
    start_server,
    stop_process,
    stop_role,
    take_listener,
)
from shipway.components.lib.serving_record import (
    CANDIDATE,
    LIVE,
    NEXT,
    ServingRecord,
    load_record,
    record_path,
    serving_dir_of,
)

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
    folder, name = serving_dir_of(model_store), candidate.model_name
    live = load_record(folder, name)
    if live and live.digest == candidate.digest and is_answering(live):
        store.promote(name, candidate.version, candidate.champion or None, live.endpoint)
        stop_role(folder, name, CANDIDATE)
        return
    with contextlib.ExitStack() as until_started:
        listener = None
        if live and live.is_running and live.port == candidate.stable_port:
            listener = until_started.enter_context(take_listener(live))
        following = start_server(
            replace(candidate, port=candidate.stable_port),
            record_path(folder, name, NEXT),
            Path(sys.executable),
            listener,
        )
    store.promote(name, candidate.version, candidate.champion or None, following.endpoint)
    following.save(record_path(folder, name, LIVE))
    record_path(folder, name, NEXT).unlink(missing_ok=True)
    if live:
        stop_process(live)
    stop_role(folder, name, CANDIDATE)
    deadline = time.monotonic() + SETTLE_SECONDS
    while not is_answering(following):
        if time.monotonic() > deadline:
            raise EndpointError(
                f"'{name}' version {candidate.version} took over {following.endpoint} and does not "
                f"answer. See {following.log}."
            )
        time.sleep(0.1)


def roll_back_local(model_name: str, model_store: str) -> None:
    """Stop the candidate and what was to follow; the live endpoint was never touched."""
    folder = serving_dir_of(model_store)
    for role in (CANDIDATE, NEXT):
        stop_role(folder, model_name, role)
