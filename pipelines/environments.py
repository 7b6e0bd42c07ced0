"""A virtual environment for each image: built once from the image's lock, then reused.

Under `.shipway/envs/` as TARGET-LOCK-pyX.Y, where LOCK begins the lock file's SHA-256, so that a
changed lock makes a new environment and an unchanged one costs nothing. An environment counts
only once its file `complete` stands, so an interrupted build leaves nothing that counts.
"""

import fcntl
import hashlib
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shipway import components, pipelines
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.images import TARGETS
from shipway.pipelines.installer import Installer

LOCKS = Path(components.__file__).parent / "images"
LOCAL_PYTHON = "3.11"
CURRENT_PYTHON = "3.13"
CURRENT_GLIBC = (2, 39)
LOOK_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class Recipe:
    """How to build the environment of one target.

    Attributes:
        target: "data", "train" or "serve".
        lock: the file of requirements with hashes.
        python: version of the interpreter, such as "3.11".
    """

    target: str
    lock: Path
    python: str

    @property
    def name(self) -> str:
        """The environment's folder: another lock or interpreter is another environment."""
        digest = hashlib.sha256(self.lock.read_bytes()).hexdigest()[:12]
        return f"{self.target}-{digest}-py{self.python}"


def prepare(
    images: Iterable[str], state_dir: Path, on_progress: Callable[[str], None]
) -> dict[str, Path]:
    """Give each image the virtual environment that stands for it, building what is missing.

    Args:
        images: image references of a compiled pipeline; the registry and tag do not matter.
        state_dir: the state directory; environments go to its folder `envs`.
        on_progress: told, in a sentence each, of builds that begin and end.

    Returns:
        The environment's directory by image reference.

    Raises:
        ConfigurationError: an image is unknown, or an environment cannot be built.
        KeyboardInterrupt: the user interrupted; no build is left running.
    """
    recipes = {image: _recipe(image) for image in images}
    folder = state_dir / "envs"
    folder.mkdir(parents=True, exist_ok=True)
    environments = {recipe: folder / recipe.name for recipe in recipes.values()}
    missing = [recipe for recipe, path in environments.items() if not _is_complete(path)]
    if missing:
        names = ", ".join(recipe.target for recipe in missing)
        on_progress(f"Building the environments of {names} from their locks, once...")
        _build_all(missing, folder, on_progress)
    for environment in environments.values():
        _link_package(environment)
    return {image: environments[recipe] for image, recipe in recipes.items()}


def _recipe(image: str) -> Recipe:
    target = target_of(image)
    if target == "data":
        return data_recipe(_here(), _glibc())
    return Recipe(target, LOCKS / f"{target}.lock", _here())


def target_of(image: str) -> str:
    """Which of Shipway's images a reference names: "data", "train" or "serve".

    Raises:
        ConfigurationError: none of them.
    """
    known = {_name(reference): target for reference, target in TARGETS.items()}
    target = known.get(_name(image))
    if target is None:
        raise ConfigurationError(
            f"Image '{image}' is not one of Shipway's: {', '.join(sorted(known))}. A local run "
            "knows no environment for it; compile the pipeline with them: shipway compile."
        )
    return target


def data_recipe(python: str, glibc: tuple[int, ...]) -> Recipe:
    """The data image's own lock where it can be installed, else the one for an older system.

    Args:
        python: version of the running interpreter.
        glibc: version of the C library; TFDV's current wheels need 2.39.
    """
    if python == CURRENT_PYTHON and glibc >= CURRENT_GLIBC:
        return Recipe("data", LOCKS / "data.lock", python)
    # TFDV's newest wheels for an older C library stop at Python 3.11.
    return Recipe("data", LOCKS / "data-local.lock", LOCAL_PYTHON)


def _name(image: str) -> str:
    """The last part of an image reference, without tag and digest."""
    return image.rsplit("/", maxsplit=1)[-1].partition("@")[0].partition(":")[0]


def _here() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _glibc() -> tuple[int, ...]:
    version = platform.libc_ver()[1]
    return tuple(int(part) for part in version.split(".")) if version else (0,)


def _is_complete(environment: Path) -> bool:
    """Whether it was built to the end and its interpreter, a link, still leads somewhere."""
    return (environment / "complete").exists() and (environment / "bin" / "python").exists()


def _build_all(recipes: list[Recipe], folder: Path, on_progress: Callable[[str], None]) -> None:
    """Build side by side, since downloads take most of the time; the first failure ends all."""
    installer = Installer()
    began = time.monotonic()
    with ThreadPoolExecutor(len(recipes)) as pool:
        builds = {pool.submit(_build, recipe, folder, installer): recipe for recipe in recipes}
        try:
            for build in as_completed(builds):
                build.result()
                seconds = time.monotonic() - began
                on_progress(f"Environment of {builds[build].target} is ready ({seconds:.0f} s).")
        except BaseException:
            installer.call_off()
            raise


def _build(recipe: Recipe, folder: Path, installer: Installer) -> None:
    """Build an environment in place, for its scripts hold its path; `complete` comes last."""
    environment = folder / recipe.name
    with _alone(folder / f"{recipe.name}.lock", installer):
        if _is_complete(environment):
            return
        shutil.rmtree(environment, ignore_errors=True)
        # The very interpreter that runs here, wherever it may be installed.
        python = sys.executable if recipe.python == _here() else recipe.python
        log = folder / f"{recipe.name}.log"
        installer.install(environment, python, recipe.lock, log, f"image '{recipe.target}'")
        _link_package(environment)
        (environment / "complete").touch()


@contextmanager
def _alone(path: Path, installer: Installer) -> Iterator[None]:
    """Let one process at a time build an environment; a killed one lets go."""
    with path.open("w") as file:
        while True:
            installer.check()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOOK_AGAIN_SECONDS)
        yield


def _link_package(environment: Path) -> None:
    """Make the running package importable there: it is the same code in every image."""
    folder = next((environment / "lib").glob("python*/site-packages")) / "shipway"
    folder.mkdir(exist_ok=True)
    for package in (components, pipelines):
        source = Path(package.__file__ or "").resolve().parent
        link = folder / package.__name__.rsplit(".", 1)[-1]
        if link.is_symlink() and link.readlink() == source:
            continue
        # Renamed onto the old link: another run may be reading through it.
        draft = folder / f".{link.name}.{time.monotonic_ns()}"
        draft.symlink_to(source)
        draft.replace(link)
