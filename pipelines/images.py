"""Building the images with the container engine at hand, and a list of what each holds."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shipway import components
from shipway.components import __version__
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.files import write_json_aside
from shipway.components.lib.images import TARGETS

CHECKOUT = Path(components.__file__).resolve().parents[1]
DOCKERFILE = Path("components", "images", "Dockerfile")
ENGINES = ("docker", "podman", "buildah")


@dataclass(frozen=True)
class Builder:
    """How images are built.

    Attributes:
        engine: "docker", "podman" or "buildah".
        checkout: the repository, which is the build's context.
        base_image: to build on; empty takes the Dockerfile's own.
        arguments: for the engine's `build`, as they are.
    """

    engine: str
    checkout: Path = CHECKOUT
    base_image: str = ""
    arguments: tuple[str, ...] = ()

    def build(self, target: str) -> Path:
        """Build one image and write its bill of materials.

        Returns:
            The bill of materials, CycloneDX as JSON: `build/images/TARGET.cdx.json`.

        Raises:
            ConfigurationError: there is no checkout to build from, or the build fails.
        """
        if (
            not (self.checkout / DOCKERFILE).is_file()
            or not (self.checkout / "setup.cfg").is_file()
        ):
            raise ConfigurationError(
                f"Images are built from a checkout of the repository, and '{self.checkout}' is "
                "none. Clone it, and run `make images` there."
            )
        reference = next(image for image, name in TARGETS.items() if name == target)
        self._run(target, ["--target", target, "--tag", reference])
        folder = self.checkout / "build" / "images"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as draft:
            made_from = ["--target", "sbom", "--build-arg", f"TARGET={target}"]
            self._run(target, [*made_from, "--output", f"type=local,dest={draft}"])
            bill = json.loads((Path(draft) / "sbom.cdx.json").read_text(encoding="utf-8"))
        # It lists the locked distributions; the image and its own code are added here.
        bill["metadata"]["component"] = {
            "type": "container",
            "name": reference.partition(":")[0],
            "version": _version(self.checkout),
            "bom-ref": reference,
        }
        wheel = {"type": "library", "name": "shipway", "version": __version__, "bom-ref": "shipway"}
        bill["components"].append(wheel)
        path = folder / f"{target}.cdx.json"
        write_json_aside(path, bill)
        return path

    def _run(self, target: str, words: Sequence[str]) -> None:
        command = [self.engine, "build", "--file", str(self.checkout / DOCKERFILE), *words]
        command += ["--build-arg", f"VERSION={_version(self.checkout)}"]
        command += ["--build-arg", f"REVISION={_revision(self.checkout)}"]
        if self.engine != "docker":
            # The OCI format knows no health check.
            command += ["--format", "docker", "--layers"]
        if self.base_image:
            command += ["--build-arg", f"BASE_IMAGE={self.base_image}"]
        command += [*self.arguments, str(self.checkout)]
        variables = {**os.environ, "DOCKER_BUILDKIT": "1"}
        status = subprocess.run(command, env=variables, check=False).returncode
        if status:
            raise ConfigurationError(
                f"{self.engine} could not build the image '{target}' (exit status {status}); what "
                "it printed last says why. Where the base cannot be pulled, name another one: "
                "make images BASE_IMAGE=..."
            )


def find_engine(wanted: str = "") -> str:
    """The first container engine that is installed and answers.

    Args:
        wanted: only this one.

    Raises:
        ConfigurationError: there is none.
    """
    for name in [wanted] if wanted else ENGINES:
        # `version` asks docker's daemon too: its client alone builds nothing.
        if shutil.which(name) and not _says(["version"], name).returncode:
            return name
    raise ConfigurationError(
        f"No container engine answers here: {wanted or ', '.join(ENGINES)}. Install one of docker, "
        "podman and buildah (for docker, start its daemon too), and run again."
    )


def _says(words: Sequence[str], *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


def _version(checkout: Path) -> str:
    """The tag of this commit, or how far it is from one; the package's version without any."""
    found = _says(["describe", "--tags", "--dirty"], "git", "-C", str(checkout))
    return found.stdout.strip() if not found.returncode else __version__


def _revision(checkout: Path) -> str:
    git = "git", "-C", str(checkout)
    commit = _says(["rev-parse", "HEAD"], *git)
    if commit.returncode:
        return "unknown"
    changed = _says(["status", "--porcelain"], *git).stdout.strip()
    return commit.stdout.strip() + ("-dirty" if changed else "")
