"""Readers of what the images are made from."""

import configparser
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class Pin(NamedTuple):
    """One line of a lock."""

    version: str
    hashes: int


class Images:
    """The files of components/images, and the extras of setup.cfg that go with them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "components" / "images"

    def lock(self, name: str) -> dict[str, list[Pin]]:
        """Pins by canonical name; several where they differ by Python version."""
        pins: dict[str, list[Pin]] = {}
        text = (self.folder / f"{name}.lock").read_text().replace("\\\n", " ")
        for line in text.splitlines():
            requirement, *hashes = re.split(r"\s+--hash=", line.strip())
            parsed = Requirement(requirement)
            version = str(parsed.specifier).removeprefix("==")
            key = canonicalize_name(parsed.name)
            pins.setdefault(key, []).append(Pin(version, len(hashes)))
        return pins

    def versions(self, name: str) -> dict[str, set[str]]:
        return {key: {pin.version for pin in pins} for key, pins in self.lock(name).items()}

    def requirements(self, name: str) -> dict[str, Requirement]:
        """What an .in file asks for, with what it includes."""
        path = self.folder / name
        found: dict[str, Requirement] = {}
        for line in path.read_text().splitlines():
            if line.startswith("-r "):
                found |= self.requirements(line.removeprefix("-r ").strip())
            elif line and not line.startswith("#"):
                found[canonicalize_name(Requirement(line).name)] = Requirement(line)
        return found

    def extra(self, name: str) -> dict[str, Requirement]:
        """The requirements of an extra in setup.cfg; of the package itself for an empty name."""
        parser = configparser.ConfigParser()
        parser.read(self.root / "setup.cfg")
        text = (
            parser["options.extras_require"][name]
            if name
            else parser["options"]["install_requires"]
        )
        parsed = [Requirement(line) for line in text.split("\n") if line]
        return {canonicalize_name(requirement.name): requirement for requirement in parsed}


@pytest.fixture(scope="session")
def images(repository: Path) -> Images:
    return Images(repository)


@pytest.fixture
def say() -> Callable[[str], None]:
    """Somebody who does not mind being told."""
    return lambda _: None
