"""Whole runs of the committed YAML, in the environments that `shipway run` makes and reuses."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from shipway.components.lib import ports
from shipway.components.lib.serving_process import stop_endpoint
from shipway.pipelines.endpoints import find_places
from shipway.pipelines.run import Run, start
from shipway.pipelines.specs import load_compiled
from shipway.pipelines.summary import show


class Shell:
    """What `shipway run` does in a fresh working directory, without a process for the command."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.screen = ""

    def run(self, **given: object) -> Run:
        given.setdefault("endpoint_port", ports.free_port())
        console = Console(file=io.StringIO(), width=200, highlight=False)
        run = start(load_compiled("train-and-deploy"), given, self.state, console)
        show(run, console)
        assert isinstance(console.file, io.StringIO)
        self.screen = console.file.getvalue()
        return run


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


@pytest.fixture
def shell(tmp_path: Path, repository: Path) -> Iterator[Shell]:
    state = tmp_path / ".shipway"
    state.mkdir()
    environments = repository / ".shipway" / "envs"
    environments.mkdir(parents=True, exist_ok=True)
    (state / "envs").symlink_to(environments)
    yield Shell(state)
    for place in find_places(state):
        stop_endpoint(*place)


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[..., Path]:
    """Writes bytes or text to a file and returns it."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
