"""A virtual environment for each image: built once from the image's lock, then reused.

Under `.shipway/envs/` as TARGET-LOCK-pyX.Y, where LOCK begins the lock file's SHA-256, so that a
changed lock makes a new environment and an unchanged one costs nothing.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shipway import components, pipelines
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.images import TARGETS

LOCKS = Path(components.__file__).parent / "images"
LOCAL_PYTHON = "3.11"
CURRENT_GLIBC = (2, 39)
LAST_LINES = 12


@dataclass(frozen=True)
class _Recipe:
    """How to build the environment of one target."""

    target: str
    lock: Path
    python: str

    @property
    def name(self) -> str:
        digest = hashlib.sha256(self.lock.read_bytes()).hexdigest()[:12]
        return f"{self.target}-{digest}-py{self.python}"


def prepare(
    images: Iterable[str], state: Path, on_progress: Callable[[str], None]
) -> dict[str, Path]:
    """Give each image the virtual environment that stands for it, building what is missing.

    Args:
        images: image references of a compiled pipeline; the registry and tag do not matter.
        state: the state directory; environments go to its folder `envs`.
        on_progress: told, in a sentence each, of builds that begin and end.

    Returns:
        The environment's directory by image reference.

    Raises:
        ConfigurationError: an image is unknown, or an environment cannot be built.
    """
    recipes = {image: _recipe(image) for image in images}
    folder = state / "envs"
    folder.mkdir(parents=True, exist_ok=True)
    missing = {r for r in recipes.values() if not (folder / r.name / "complete").exists()}
    if missing:
        on_progress(f"Building {len(missing)} environments from their locks, once...")
        with ThreadPoolExecutor(len(missing)) as pool:
            for recipe in pool.map(lambda recipe: _build(recipe, folder), missing):
                on_progress(f"Environment of image {recipe.target} is ready.")
    return {image: folder / recipe.name for image, recipe in recipes.items()}


def _recipe(image: str) -> _Recipe:
    known = {_name(reference): target for reference, target in TARGETS.items()}
    target = known.get(_name(image))
    if target is None:
        raise ConfigurationError(
            f"Image '{image}' is not one of Shipway's: {', '.join(sorted(known))}. A local run "
            "knows no environment for it."
        )
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if target != "data":
        return _Recipe(target, LOCKS / f"{target}.lock", here)
    if here == "3.13" and _glibc() >= CURRENT_GLIBC:
        return _Recipe(target, LOCKS / "data.lock", here)
    # TFDV's current wheels need glibc 2.39; the newest for an older one stops at Python 3.11.
    return _Recipe(target, LOCKS / "data-local.lock", LOCAL_PYTHON)


def _name(image: str) -> str:
    """The last part of an image reference, without tag and digest."""
    return image.rsplit("/", maxsplit=1)[-1].partition(":")[0].partition("@")[0]


def _glibc() -> tuple[int, ...]:
    version = platform.libc_ver()[1]
    return tuple(int(part) for part in version.split(".")) if version else (0,)


def _build(recipe: _Recipe, folder: Path) -> _Recipe:
    """Build an environment in place; it counts only once its mark `complete` stands."""
    environment = folder / recipe.name
    log = folder / f"{recipe.name}.log"
    with _alone(folder / f"{recipe.name}.lock"), log.open("w") as output:
        if (environment / "complete").exists():
            return recipe
        shutil.rmtree(environment, ignore_errors=True)
        _uv(["venv", "--quiet", "--python", recipe.python, str(environment)], recipe, output, log)
        python = environment / "bin" / "python"
        install = ["pip", "install", "--python", str(python), "--no-deps", "--require-hashes"]
        _uv([*install, "--compile-bytecode", "-r", str(recipe.lock)], recipe, output, log)
        _link_package(environment)
        (environment / "complete").touch()
    return recipe


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time build an environment; a killed one lets go."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _uv(words: list[str], recipe: _Recipe, output: object, log: Path) -> None:
    import uv

    # A machine's own certificates count, as they do for pip.
    variables = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    variables.pop("VIRTUAL_ENV", None)
    command = [uv.find_uv_bin(), *words]
    done = subprocess.run(command, stdout=output, stderr=output, env=variables, check=False)  # type: ignore[call-overload]
    if done.returncode:
        last = "\n".join(log.read_text(errors="replace").rstrip().splitlines()[-LAST_LINES:])
        cure = "Check the network and the disk"
        if words[0] == "venv":
            cure = f"Install Python {recipe.python}"
        raise ConfigurationError(
            f"The environment of image '{recipe.target}' could not be built from "
            f"'{recipe.lock.name}'. {cure}, and run again. Whole log: {log}\n{last}"
        )


def _link_package(environment: Path) -> None:
    """Make the running package importable there: it is the same code in every image."""
    site = next((environment / "lib").glob("python*/site-packages")) / "shipway"
    site.mkdir()
    for package in (components, pipelines):
        source = Path(package.__file__ or "").parent
        (site / package.__name__.rsplit(".", 1)[-1]).symlink_to(source)
