"""The Dockerfile, read: what only a build can show is shown where images are built."""

import json
import re
from pathlib import Path

import pytest

from shipway.components import __version__
from shipway.components.lib.images import TARGETS
from shipway.pipelines.environments import CURRENT_PYTHON

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (ROOT / "components" / "images" / "Dockerfile").read_text()
CONTAINERS = sorted(TARGETS.values())


def stages() -> dict[str, list[str]]:
    """Instructions by stage, each on one line and without comments; "" is before the first."""
    text = re.sub(r"^#.*\n", "", SOURCE, flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in filter(None, (line.strip() for line in text.splitlines())):
        start = re.fullmatch(r"FROM (\S+) AS (\S+)", line)
        if start:
            name = start[2]
            found[name] = []
        found[name].append(line)
    return found


def lineage(name: str) -> list[str]:
    """The instructions of a stage after those of the stages that it is made from."""
    lines = stages()[name]
    parent = lines[0].split()[1]
    return [*(lineage(parent) if parent in stages() else []), *lines[1:]]


def only(lines: list[str], word: str) -> str:
    (line,) = (line for line in lines if line.startswith(f"{word} "))
    return line.removeprefix(f"{word} ")


def test_there_is_a_target_for_each_image() -> None:
    references = {reference.rsplit("/", 1)[-1]: target for reference, target in TARGETS.items()}
    assert references == {f"shipway-{target}:{__version__}": target for target in CONTAINERS}
    assert set(CONTAINERS) <= stages().keys()
    built = {name.removesuffix("-venv") for name in stages() if name.endswith("-venv")}
    assert built == set(CONTAINERS)


def test_the_base_is_an_argument_with_the_python_of_the_data_lock() -> None:
    assert f"ARG BASE_IMAGE=python:{CURRENT_PYTHON}-slim-trixie" in stages()[""]
    assert stages()["builder"][0] == stages()["base"][0].replace(" base", " builder")


@pytest.mark.parametrize("target", CONTAINERS)
def test_a_target_installs_its_lock_and_then_the_wheel(target: str) -> None:
    copy, run = stages()[f"{target}-venv"][1:]
    assert copy == f"COPY components/images/trim.sh components/images/{target}.lock /tmp/"
    assert f"--no-deps --require-hashes -r /tmp/{target}.lock && sh /tmp/trim.sh" in run
    lines = stages()[target]
    copied = lines.index(f"COPY --from={target}-venv /opt/venv /opt/venv")
    wheel = next(i for i, line in enumerate(lines) if "/wheel/*.whl" in line)
    # Mounted, it would not count for podman's cache: the image would keep older code.
    assert copied < lines.index("COPY --from=wheel /wheel /wheel") < wheel
    assert "--no-deps" in lines[wheel]
    # Its cache would stay in the image, in a HOME that the user cannot write to.
    assert "--no-cache" in lines[wheel]


def test_the_wheel_is_built_from_what_the_context_holds() -> None:
    context = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copies = [line.split()[1:-1] for line in stages()["wheel"] if line.startswith("COPY ")]
    assert {source for sources in copies for source in sources} == context
    assert all((ROOT / source).exists() for source in context)


@pytest.mark.parametrize("target", CONTAINERS)
def test_a_target_runs_as_nobody_special(target: str) -> None:
    lines = lineage(target)
    user, _, group = only(lines, "USER").partition(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    assert lines.index(f"USER {user}:{group}") > max(
        i for i, line in enumerate(lines) if line.startswith(("RUN ", "COPY "))
    )
    environment = " ".join(line for line in lines if line.startswith("ENV "))
    assert "PATH=/opt/venv/bin:$PATH" in environment
    assert "HOME=/tmp" in environment


@pytest.mark.parametrize("target", CONTAINERS)
def test_a_target_says_what_it_is(target: str) -> None:
    lines = lineage(target)
    assert f"ARG VERSION={__version__}" in stages()[""]
    assert {"ARG VERSION", "ARG REVISION=unknown"} <= set(lines)
    label = " ".join(line for line in lines if line.startswith("LABEL "))
    assert 'org.opencontainers.image.version="${VERSION}"' in label
    assert 'org.opencontainers.image.revision="${REVISION}"' in label


def test_the_server_is_an_exec_entrypoint_with_a_health_check() -> None:
    lines = stages()["serve"]
    assert json.loads(only(lines, "ENTRYPOINT")) == ["python", "-m", "shipway.components.predictor"]
    assert "/v2/health/ready" in only(lines, "HEALTHCHECK")
    for target in ("data", "train"):
        assert not any(line.startswith(("ENTRYPOINT ", "CMD ")) for line in lineage(target))
