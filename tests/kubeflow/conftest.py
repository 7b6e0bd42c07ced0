"""A Kubeflow Pipelines API on this machine, its client, and the command that a user types."""

import base64
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests import command

SHIPWAY = [sys.executable, "-c", "from shipway.pipelines.cli import main; main()"]
OURS = ("KF_", "NAMESPACE")


@pytest.fixture(scope="session")
def pipelines_api() -> ModuleType:
    """tests/kubeflow/api.py: test modules cannot import it by name."""
    spec = importlib.util.spec_from_file_location(
        "shipway_tests_kubeflow_api", Path(__file__).with_name("api.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def api(pipelines_api: ModuleType) -> Iterator[Any]:
    with pipelines_api.running() as api:
        yield api


@pytest.fixture
def environment() -> dict[str, str]:
    """This process's environment without what names a Kubeflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | {"NO_PROXY": "localhost,127.0.0.1", "COLUMNS": "200"}


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Starts `shipway` in a process of its own."""

    def start(*words: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*SHIPWAY, *words],
            cwd=tmp_path,
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def shipway(
    tmp_path: Path, environment: dict[str, str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `shipway` to its end."""

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return command.shipway(tmp_path, *words, environment=environment | variables)

    return run


def json_web_token(account: str, ends_in: float = 3600) -> str:
    claims = {"sub": account, "exp": int(time.time() + ends_in)}
    parts = [{"alg": "RS256"}, claims, {"signature": account}]
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return ".".join(part.decode().rstrip("=") for part in coded)


@pytest.fixture
def token_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes the token of an account to a file."""

    def write(account: str, ends_in: float = 3600) -> Path:
        path = tmp_path / "token"
        path.write_text(json_web_token(account, ends_in) + "\n")
        return path

    return write


@pytest.fixture
def connect(api) -> Callable[..., Any]:
    """Makes a client of the API whose pauses are short."""
    from shipway.pipelines.connection import Connection, find_access
    from shipway.pipelines.kubeflow import Kubeflow

    def connect(host: str = "", **options: Any) -> Kubeflow:
        return Kubeflow(Connection(find_access(host or api.url, **options), pause=0.01))

    return connect


@pytest.fixture
def team(api, token_file) -> tuple[str, ...]:
    """Makes the installation one of many users; returns the options of one of them."""
    path = token_file("system:serviceaccount:team:builder")
    api.multi_user, api.tokens = True, {path.read_text().strip(): "builder"}
    return ("--namespace", "team", "--token-file", str(path))


@pytest.fixture
def words() -> tuple[str, ...]:
    """What a run of train-and-deploy must be given."""
    values = {"data_uri": "gs://b/t.csv", "label": "y", "model_name": "m", "model_store": "gs://b"}
    return tuple(word for item in values.items() for word in ("--set", "=".join(item)))
