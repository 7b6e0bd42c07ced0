"""Steps as containers of the images themselves, through any engine that speaks Docker's API.

A local endpoint outlives the step that starts it, but a process ends with its container. So steps
of the serve image run one after another inside one container, whose main process is a keeper
(`pipelines/keeper.py`): it ends, and the container with it, once the run is over and no server is
left inside. It shares the process numbers and the network of this machine, so that the records of
endpoints mean the same inside and outside, and `shipway status` and `stop` need no engine.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlparse

import docker
import requests
from docker.errors import APIError, DockerException
from docker.types import Mount

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.serving_record import serving_dir_of
from shipway.pipelines.engine import Engine, Observer, Step, end_group
from shipway.pipelines.environments import target_of

LABEL = "dev.shipway.run"
# What a step may need of the caller's environment: buckets, proxies, threads, the alert's webhook.
PASSED = ("SHIPWAY_", "GOOGLE_", "AWS_", "STORAGE_EMULATOR_", "OMP_")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
FILES = {
    "GOOGLE_APPLICATION_CREDENTIALS": "~/.config/gcloud/application_default_credentials.json",
    "KUBECONFIG": "~/.kube/config",
}


class ContainerEngine(Engine):
    """Runs each task in a container of its image."""

    def __init__(
        self,
        client: "docker.DockerClient",
        images: Sequence[str],
        arguments: Mapping[str, Any],
        folder: Path,
        steps: Sequence[Step],
        observer: Observer,
    ) -> None:
        """Make an engine for one run.

        Args:
            client: connected to an engine that holds the images.
            images: references of the images.
            arguments: of the run: the folders that they name are mounted.
            folder: the run's folder.
            steps: the steps of the run.
            observer: told of each step's beginning and end.
        """
        super().__init__(images, folder, steps, observer)
        self._client = client
        self._serves_here = arguments.get("serving_target") == "local"
        self._options = _options(client, folder, arguments)
        self._lock: IO[bytes] | None = None
        self._server: Any = None

    def __enter__(self) -> "ContainerEngine":
        """Begin; the keeper of the serve container knows by a lock how long the run goes on."""
        super().__enter__()
        self._lock = (self.folder / "running.lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *raised: object) -> None:
        """End."""
        super().__exit__(*raised)
        if self._lock:
            self._lock.close()
        self._client.close()

    def _execute(
        self, image: str, command: Sequence[str], variables: dict[str, str], log: IO[bytes]
    ) -> int:
        with _explained(image):
            if self._serves_here and target_of(image) == "serve":
                return self._execute_inside(image, command, variables, log)
            container = self._create(image, command, variables)
            try:
                output = container.attach(stream=True, logs=True)
                container.start()
                _copy(output, log)
                return int(container.wait()["StatusCode"])
            finally:
                # Only now: who removes it earlier never learns how it ended.
                container.remove(force=True)

    def _create(
        self, image: str, command: Sequence[str], variables: dict[str, str], **more: Any
    ) -> Any:
        """A container that runs exactly this command, whatever the image's entrypoint is."""
        return self._client.containers.create(
            image,
            list(command[1:]),
            entrypoint=[command[0]],
            environment={**_passed(), **variables},
            **{**self._options, **more},
        )

    def _execute_inside(
        self, image: str, command: Sequence[str], variables: dict[str, str], log: IO[bytes]
    ) -> int:
        if self._server is None:
            keeper = ["python", "-m", "shipway.pipelines.keeper", f"{self.folder}/running.lock"]
            self._server = self._create(image, keeper, {}, pid_mode="host", auto_remove=True)
            self._server.start()
        api = self._client.api
        process = api.exec_create(self._server.id, list(command), environment=variables)["Id"]
        try:
            _copy(api.exec_start(process, stream=True), log)
        except BaseException:
            leader = api.exec_inspect(process)["Pid"]
            if leader:
                end_group(leader)
            raise
        return int(api.exec_inspect(process)["ExitCode"])


def _copy(output: Iterator[bytes], log: IO[bytes]) -> None:
    for chunk in output:
        log.write(chunk)
        log.flush()


@contextmanager
def _explained(image: str) -> Iterator[None]:
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        told = error.explanation if isinstance(error, APIError) else error
        raise ConfigurationError(
            f"The container engine could not run a step in '{image}': {told}. Try the engine by "
            f"itself: docker run --rm {image} python --version (or podman)."
        ) from error


def _options(
    client: "docker.DockerClient", folder: Path, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """How every container of a run is confined, and what it sees of this machine."""
    rootless = any("rootless" in line for line in client.info().get("SecurityOptions") or [])
    return {
        # The caller owns what a step writes. Without root, the engine calls the caller 0.
        "user": "0:0" if rootless else f"{os.getuid()}:{os.getgid()}",
        "read_only": True,
        "tmpfs": {"/tmp": "mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", "label=disable"],
        # As a process would: emulators and endpoints are at 127.0.0.1.
        "network_mode": "host",
        "mounts": mounts(folder, arguments),
        "labels": {LABEL: folder.name},
        # The image's own asks the port of a pod; here the run proves what answers.
        "healthcheck": {"test": ["NONE"]},
    }


def mounts(folder: Path, arguments: Mapping[str, Any]) -> list[Mount]:
    """The run's folder, what its arguments name, and files of credentials: at the same paths."""
    writable, readable = {folder}, {Path(path) for path in _credentials().values()}
    for name, value in arguments.items():
        if name.endswith("_store") and str(value).startswith(("/", "file://")):
            records = serving_dir_of(value)
            writable |= {_path(value), records}
        elif name.endswith("_uri") and str(value).startswith(("/", "file://")):
            readable.add(_without_pattern(_path(value)))
    for path in writable:
        path.mkdir(parents=True, exist_ok=True)
    found = [(path, False) for path in sorted(writable)]
    # A file that is not there is for the step to report.
    found += [(path, True) for path in sorted(readable - writable) if path.exists()]
    return [Mount(str(path), str(path), type="bind", read_only=only) for path, only in found]


def _path(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path) if "://" in uri else uri).expanduser().absolute()


def _without_pattern(path: Path) -> Path:
    """The folder that holds every match of a glob; a plain path as it is."""
    while any(sign in str(path) for sign in "*?["):
        path = path.parent
    return path


def _credentials() -> dict[str, str]:
    found = {name: os.environ.get(name) or default for name, default in FILES.items()}
    paths = {name: Path(path).expanduser().absolute() for name, path in found.items()}
    return {name: str(path) for name, path in paths.items() if path.is_file()}


def _passed() -> dict[str, str]:
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PASSED) or name.upper() in PROXIES
    }
    return {**passed, **_credentials()}
