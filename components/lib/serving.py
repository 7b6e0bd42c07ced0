"""Endpoints on this machine: model server processes, and the records that say where they are.

{serving}/{model}/live.json         the endpoint that callers use
{serving}/{model}/candidate.json    one that is being proven, on a port of its own
"""

import datetime
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urlparse
from urllib.request import ProxyHandler, build_opener

from shipway.components.lib import handover
from shipway.components.lib.errors import ConfigurationError, EndpointError
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.model_package import load_manifest, verify_files

HOST = "127.0.0.1"
DIGEST_HEADER = "x-shipway-model-digest"
READY_SECONDS = 90.0
STOP_SECONDS = 15.0
LAST_LINES = 8
LIVE, CANDIDATE, NEXT = "live", "candidate", "next"


@dataclass(frozen=True)
class ServingRecord:
    """Where a model version answers, and how it came there.

    Attributes:
        target: "local" or "kserve".
        model_name: name of the model and of its endpoint.
        version: in the model store; empty for one that is served from a directory.
        digest: of the package.
        endpoint: base URL.
        model_dir: where the server loads it from.
        champion: version that was the champion when this one was deployed; empty for none.
        stable_port: port that callers use once it is released; local only.
        port: port that it listens on; local only.
        pid: of the server process; local only.
        process_start: start time of that process, so that a reused pid is never mistaken for it.
        log: file that the process logs to.
        handover: Unix socket at which the process gives its listening socket to the next one.
        started: ISO 8601 in UTC.
        namespace: kserve only.
        stable_endpoint: base URL that callers use once it is released; kserve only.
        plan: of its rollout, JSON; kserve only.
    """

    target: str
    model_name: str
    version: str
    digest: str
    endpoint: str
    model_dir: str = ""
    champion: str = ""
    stable_port: int = 0
    port: int = 0
    pid: int = 0
    process_start: str = ""
    log: str = ""
    handover: str = ""
    started: str = ""
    namespace: str = ""
    stable_endpoint: str = ""
    plan: str = ""

    def save(self, path: Path) -> None:
        """Write the record as JSON."""
        write_json_aside(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "ServingRecord":
        """Read a record.

        Raises:
            EndpointError: it is missing or damaged.
        """
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise EndpointError(
                f"'{path}' is no serving record ({error}). Deploy the model again."
            ) from error

    @property
    def v1_url(self) -> str:
        """URL of V1's predict."""
        return f"{self.endpoint}/v1/models/{self.model_name}:predict"

    @property
    def v2_url(self) -> str:
        """URL of V2's infer."""
        return f"{self.endpoint}/v2/models/{self.model_name}/infer"

    @property
    def is_running(self) -> bool:
        """Whether its process still runs."""
        return bool(self.pid) and process_start(self.pid) == self.process_start != ""


def process_start(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


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
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=variables,
            start_new_session=True,
            pass_fds=[listener.fileno()] if listener else [],
        )
    base = f"http://{HOST}:{record.port}"
    started = replace(
        record,
        endpoint=base,
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


def answering_digest(record: ServingRecord) -> str:
    """The digest of the model that says it is ready at a record's URL; empty for none."""
    url = f"{record.endpoint}/v2/models/{record.model_name}/ready"
    # A proxy of the environment leads to a cluster, never to this machine.
    opener = build_opener(ProxyHandler({})) if record.target == "local" else build_opener()
    try:
        with opener.open(url, timeout=5) as response:
            return str(response.headers.get(DIGEST_HEADER, ""))
    except (URLError, OSError):
        return ""


def is_answering(record: ServingRecord) -> bool:
    """Whether the very model of a record is ready at its URL."""
    return answering_digest(record) == record.digest


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


def serving_dir_of(model_store: str) -> Path:
    """Where records of endpoints are kept: beside the directory of the model store.

    Raises:
        ConfigurationError: the store is not on this machine.
    """
    if "://" in model_store and not model_store.startswith("file://"):
        raise ConfigurationError(
            f"serving_target='local' needs a model_store on this machine, not '{model_store}'."
        )
    path = unquote(urlparse(model_store).path) if "://" in model_store else model_store
    return Path(path).absolute().parent / "serving"


def record_path(serving_dir: Path, model_name: str, role: str) -> Path:
    """Where the record of a model's live endpoint, candidate or next stands."""
    return serving_dir / model_name / f"{role}.json"


def load_record(serving_dir: Path, model_name: str, role: str = LIVE) -> ServingRecord | None:
    """A model's live endpoint, candidate or next; None where there is none."""
    path = record_path(serving_dir, model_name, role)
    return ServingRecord.load(path) if path.is_file() else None


def list_endpoints(serving_dir: Path) -> list[ServingRecord]:
    """The endpoints that callers use, whether they answer or not."""
    return [ServingRecord.load(path) for path in sorted(serving_dir.glob(f"*/{LIVE}.json"))]


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


def serve(
    model_dir: Path, serving_dir: Path, model_name: str, port: int, interpreter: Path
) -> ServingRecord:
    """Serve a package from a directory, as the live endpoint of its model.

    Args:
        model_dir: the model package.
        serving_dir: where records are kept.
        model_name: of the endpoint; empty takes the model's own.
        port: to listen on.
        interpreter: Python of the serve environment.

    Raises:
        ModelPackageError: the package is not whole.
        EndpointError: the port is taken, or the server does not become ready.
    """
    digest = verify_files(model_dir)
    name = model_name or str(load_manifest(model_dir)["model_name"])
    running = load_record(serving_dir, name)
    if running and running.is_running:
        raise EndpointError(
            f"'{name}' is served already at {running.endpoint}. Stop it first: shipway stop {name}."
        )
    if not port_is_free(port):
        raise EndpointError(f"Port {port} is in use. Choose another one: --port {port + 1}.")
    record = ServingRecord(
        "local", name, "", digest, "", str(model_dir), stable_port=port, port=port
    )
    return start_server(record, record_path(serving_dir, name, LIVE), interpreter)
