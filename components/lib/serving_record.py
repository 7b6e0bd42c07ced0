"""Records that say where model versions answer, and the folder where those of this machine stand.

{serving}/{model}/live.json         the endpoint that callers use
{serving}/{model}/candidate.json    one that is being proven, on a port of its own
{serving}/{model}/next.json         one that is about to take the place of the live one
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from shipway.components.lib.errors import ConfigurationError, EndpointError
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.processes import process_start

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
