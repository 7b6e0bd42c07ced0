"""Model servers as processes of this machine: started, waited for, relieved and stopped."""

import datetime
import os
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from shipway.components.lib import handover
from shipway.components.lib.answering import answering_digest
from shipway.components.lib.errors import EndpointError
from shipway.components.lib.ports import HOST
from shipway.components.lib.processes import process_start
from shipway.components.lib.serving_record import (
    CANDIDATE,
    LIVE,
    NEXT,
    ServingRecord,
    load_record,
    record_path,
)

READY_SECONDS = 90.0
STOP_SECONDS = 15.0
LAST_LINES = 8


def take_listener(record: ServingRecord) -> socket.socket:
    """Take a copy of the socket on which a running server listens.

    Raises:
        EndpointError: the server does not give it.
    """
    try:
        return handover.take(Path(record.handover))
    except OSError as error:
        raise EndpointError(
            f"The server of '{record.model_name}' at {record.endpoint} does not hand over its port "
            f"({error}). Stop it first: shipway stop {record.model_name}."
        ) from error


def start_server(
    record: ServingRecord,
    path: Path,
    interpreter: Path,
    listener: socket.socket | None = None,
) -> ServingRecord:
    """Start a model server as a process that outlives this one, and wait until it is ready.

    The record is written before the server is ready, so that an interruption loses no process.

    Args:
        record: what to serve; its port and model_dir count.
        path: for the record; the log goes beside it.
        interpreter: Python of the serve environment.
        listener: of the server that this one replaces; None for a port of its own.

    Returns:
        The record with process and URLs.

    Raises:
        EndpointError: it ended, or was not ready in time; the message has its last lines.
    """
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    moment = datetime.datetime.now(datetime.UTC)
    log = folder / f"{moment:%Y%m%d-%H%M%S}-{record.version or 'dir'}-{record.port}.log"
    process = _start_process(record, log, interpreter, listener)
    started = replace(
        record,
        endpoint=f"http://{HOST}:{record.port}",
        pid=process.pid,
        process_start=process_start(process.pid),
        log=str(log),
        handover=str(log.with_suffix(".sock")),
        started=moment.isoformat(timespec="seconds"),
    )
    try:
        started.save(path)
        _wait_until_ready(started, process)
    except BaseException:
        stop_process(started)
        process.wait(STOP_SECONDS)
        path.unlink(missing_ok=True)
        raise
    return started


def _start_process(
    record: ServingRecord, log: Path, interpreter: Path, listener: socket.socket | None
) -> "subprocess.Popen[bytes]":
    command = [str(interpreter), "-m", "shipway.components.predictor"]
    command += ["--model_dir", record.model_dir, "--model_name", record.model_name]
    command += ["--handover", str(log.with_suffix(".sock")), "--host", HOST]
    if listener:
        command += ["--http_fd", str(listener.fileno())]
    else:
        command += ["--http_port", str(record.port)]
    if record.version:
        command += ["--model_version", record.version]
    # The folder for temporary files is the step's and goes with it.
    variables = {k: v for k, v in os.environ.items() if k not in ("_KFP_RUNTIME", "TMPDIR")}
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=variables,
            start_new_session=True,
            pass_fds=[listener.fileno()] if listener else [],
        )


def _wait_until_ready(record: ServingRecord, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EndpointError(
                f"The model server of '{record.model_name}' ended with status {process.returncode} "
                f"before it was ready. Its last lines ({record.log}):\n{_last_lines(record)}"
            )
        if answering_digest(record) == record.digest:
            return
        time.sleep(0.1)
    raise EndpointError(
        f"The model server of '{record.model_name}' was not ready after {READY_SECONDS:.0f} s. Its "
        f"last lines ({record.log}):\n{_last_lines(record)}"
    )


def _last_lines(record: ServingRecord) -> str:
    text = Path(record.log).read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.rstrip().splitlines()[-LAST_LINES:])


def stop_process(record: ServingRecord) -> None:
    """End a record's process: politely, then not. One that has ended is left alone."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if not record.is_running:
            break
        os.kill(record.pid, sign)
        deadline = time.monotonic() + STOP_SECONDS
        while record.is_running and time.monotonic() < deadline:
            time.sleep(0.05)
    if record.handover:
        Path(record.handover).unlink(missing_ok=True)  # one that was killed leaves it


def stop_endpoint(serving_dir: Path, model_name: str) -> None:
    """Stop the endpoint of a model, and what would have followed it."""
    for role in (LIVE, CANDIDATE, NEXT):
        stop_role(serving_dir, model_name, role)


def stop_candidate(serving_dir: Path, model_name: str) -> None:
    """Stop a model's servers that were started and not released."""
    for role in (CANDIDATE, NEXT):
        stop_role(serving_dir, model_name, role)


def stop_role(serving_dir: Path, model_name: str, role: str) -> None:
    """Stop one server of a model, if there is one, and forget it."""
    record = load_record(serving_dir, model_name, role)
    if record is not None:
        stop_process(record)
        record_path(serving_dir, model_name, role).unlink(missing_ok=True)
