"""Finding a container engine on this machine that speaks Docker's API: Docker, or podman."""

import os
from collections.abc import Sequence
from pathlib import Path

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from shipway.components.lib.errors import ConfigurationError

PING_SECONDS = 30  # podman answers late while it builds
SOCKETS = (
    "/var/run/docker.sock",
    "{run}/docker.sock",
    "/run/podman/podman.sock",
    "{run}/podman/podman.sock",
)


def connect(images: Sequence[str]) -> "docker.DockerClient":
    """Find a container engine on this machine that holds some images.

    Raises:
        ConfigurationError: none answers, or an image is missing.
    """
    client = _client()
    missing = [image for image in images if not _is_there(client, image)]
    if missing:
        raise ConfigurationError(
            f"The container engine does not hold {', '.join(missing)}. Build it with: make images"
        )
    return client


def _client() -> "docker.DockerClient":
    run = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    given = os.environ.get("DOCKER_HOST", "")
    if given and not given.startswith("unix://"):
        raise ConfigurationError(
            f"DOCKER_HOST={given} is an engine elsewhere, and --runner docker mounts folders of "
            "this machine. Name a socket here, DOCKER_HOST=unix:///var/run/docker.sock."
        )
    sockets = [path.format(run=run) for path in SOCKETS]
    found = [given] if given else [f"unix://{path}" for path in sockets if Path(path).is_socket()]
    problems = []
    for url in found:
        try:
            answered = docker.DockerClient(base_url=url, timeout=PING_SECONDS).version()
            # No time limit from here on: a step may be silent for as long as it likes.
            return docker.DockerClient(url, version=answered["ApiVersion"], timeout=None)
        except (DockerException, requests.RequestException) as error:
            problems.append(f"{url}: {error}")
    tried = "\n".join(problems) or f"There is no socket at {', '.join(sockets)}."
    raise ConfigurationError(
        "--runner docker needs a container engine, and none answers. Start Docker, or podman: "
        "podman system service --time=0 unix:///tmp/podman.sock & "
        f"export DOCKER_HOST=unix:///tmp/podman.sock\n{tried}"
    )


def _is_there(client: "docker.DockerClient", image: str) -> bool:
    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True
