"""A container engine, a base image and the three images, all made here when they are not there."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import docker
import pytest

from shipway.components.lib.images import TARGETS
from shipway.components.lib.ports import free_port
from shipway.components.lib.serving_record import ServingRecord, list_endpoints
from shipway.pipelines.container_client import connect

SHIPWAY = str(Path(sys.executable).with_name("shipway"))
SUITE = "trixie"
PACKAGES = "ca-certificates,python3,python3-venv,libgomp1"
# runc starts on kernels where crun does not; the limits are what a nested machine may set.
CONTAINERS_CONF = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=10000:10000"]
"""
# What a machine with its own certificates or package index needs while it builds, and only then.
CONFIGURATION = {
    os.environ.get("SSL_CERT_FILE", ""): "/etc/ssl/certs/ca-certificates.crt",
    os.environ.get("PIP_CONFIG_FILE", "/etc/pip.conf"): "/etc/pip.conf",
    os.environ.get("UV_CONFIG_FILE", "/etc/uv/uv.toml"): "/etc/uv/uv.toml",
}


class Images(NamedTuple):
    """The engine that holds the images, and how they were built."""

    client: "docker.DockerClient"
    engine: str
    bills: dict[str, Path]

    def create(self, target: str, command: list[str] | None = None, **options: object) -> Any:
        """A container as a cluster would run it: not root, its root read-only."""
        reference = next(image for image, name in TARGETS.items() if name == target)
        return self.client.containers.create(
            reference,
            command,
            **{
                "read_only": True,
                "tmpfs": {"/tmp": ""},
                "cap_drop": ["ALL"],
                "network_mode": "none",
                **options,
            },
        )

    def python(self, target: str, code: str, **options: object) -> str:
        """What a program prints in an image; it must end well."""
        container = self.create(target, ["-c", code], entrypoint=["python"], **options)
        try:
            container.start()
            status = container.wait()["StatusCode"]
            printed = container.logs().decode()
        finally:
            container.remove(force=True)
        assert status == 0, printed
        return printed.strip()


class Shell(NamedTuple):
    """A working directory in which `shipway` runs pipelines in containers."""

    folder: Path
    port: int

    def shipway(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([SHIPWAY, *words], cwd=self.folder, capture_output=True, text=True)

    def run(self, *more: str) -> "subprocess.CompletedProcess[str]":
        given = ["data_uri=data/churn.csv", "label=churned", "model_name=churn"]
        words = [word for one in (*given, f"endpoint_port={self.port}") for word in ("--set", one)]
        return self.shipway("run", "train-and-deploy", "--runner", "docker", *words, *more)

    @property
    def package(self) -> Path:
        return next(self.folder.glob(".shipway/runs/*/artifacts/**/golden.json")).parent

    def records(self) -> list[ServingRecord]:
        return list_endpoints(self.folder / ".shipway" / "serving")

    def ask(self, record: ServingRecord) -> list[Any]:
        rows = json.loads((self.package / "golden.json").read_text())["rows"]
        body = json.dumps({"instances": rows[:1]}).encode()
        request = Request(record.v1_url, body, {"content-type": "application/json"})
        with urlopen(request, timeout=20) as response:
            return list(json.load(response)["predictions"])


def docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "version"], capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Docker where its daemon answers; else podman, served on a socket of its own."""
    if docker_answers():
        yield "docker"
        return
    needed = [name for name in ("podman", "runc", "debootstrap") if not shutil.which(name)]
    if needed or os.getuid() != 0:
        pytest.skip(f"no Docker answers, and podman needs {', '.join(needed) or 'root'} here")
    folder = tmp_path_factory.mktemp("podman")
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    socket = folder / "podman.sock"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
        patch.setenv("DOCKER_HOST", f"unix://{socket}")
        with (folder / "podman.log").open("wb") as log:
            service = subprocess.Popen(
                ["podman", "system", "service", "--time=0", f"unix://{socket}"],
                stdout=log,
                stderr=log,
            )
        try:
            deadline = time.monotonic() + 30
            while not socket.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            yield "podman"
        finally:
            service.terminate()
            service.wait(30)


@pytest.fixture(scope="session")
def base_image(engine: str, repository: Path) -> str:
    """BASE_IMAGE if it is set; for podman a Debian made of packages, for no registry is at hand."""
    given = os.environ.get("BASE_IMAGE", "")
    if given or engine == "docker":
        return given
    image = f"localhost/shipway-base:{SUITE}"
    if subprocess.run(["podman", "image", "exists", image]).returncode:
        archive = debian(repository / "build" / "containers")
        words = ["podman", "import", "--change", "ENV LANG=C.UTF-8", str(archive), image]
        subprocess.run(words, check=True)
    return image


def debian(folder: Path) -> Path:
    """A root file system with Python, as a tar archive that later runs find again."""
    archive, root = folder / f"{SUITE}.tar", folder / "root"
    if archive.exists():
        return archive
    shutil.rmtree(root, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)]
    subprocess.run([*command, debian_mirror()], check=True, stdout=subprocess.DEVNULL)
    for used in ("var/lib/apt/lists", "var/cache/apt", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(root / used)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    draft = archive.with_suffix(".draft")
    subprocess.run(["tar", "-C", root, "-cf", draft, "."], check=True)
    draft.rename(archive)
    shutil.rmtree(root)
    return archive


def debian_mirror() -> str:
    """The mirror that this machine's own packages come from."""
    if not shutil.which("apt-get"):
        pytest.skip("a base image is made from Debian's packages, and this system has none")
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    told = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Identifier: Packages"]
    lines = subprocess.run(told, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split()[0] for line in lines if line.endswith(f" {codename}")]
    if platform.freedesktop_os_release().get("ID") != "debian" or not found:
        pytest.skip("a base image is made from Debian's packages, and this system is no Debian")
    return found[0]


@pytest.fixture(scope="session")
def build_arguments(engine: str) -> list[str]:
    if engine == "docker":
        return []
    found = {Path(source): target for source, target in CONFIGURATION.items() if source}
    mounts = [f"--volume={one}:{target}:ro" for one, target in found.items() if one.is_file()]
    return ["--network=host", *mounts]


@pytest.fixture(scope="session")
def images(
    engine: str, base_image: str, build_arguments: list[str], repository: Path
) -> Iterator[Images]:
    command = [SHIPWAY, "images", "--engine", engine, "--base-image", base_image]
    built = subprocess.run([*command, "--", *build_arguments], capture_output=True, text=True)
    assert built.returncode == 0, (built.stdout + built.stderr)[-4000:]
    bills = {
        name: repository / "build" / "images" / f"{name}.cdx.json" for name in TARGETS.values()
    }
    client = connect(list(TARGETS))
    yield Images(client, engine, bills)
    client.close()


@pytest.fixture(scope="session")
def shipway() -> str:
    return SHIPWAY


@pytest.fixture(scope="session")
def shell(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Where a first run has been made, to an endpoint."""
    shell = Shell(tmp_path_factory.mktemp("shell"), free_port())
    sampled = shell.shipway("sample", "churn", "--rows", "2000", "--out", "data")
    assert sampled.returncode == 0, sampled.stderr
    first = shell.run()
    assert first.returncode == 0, first.stdout + first.stderr
    yield shell
    shell.shipway("stop")
