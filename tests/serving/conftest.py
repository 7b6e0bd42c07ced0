"""Models and servers for the whole session; functions come as fixtures."""

from collections.abc import Iterator

import pytest

from tests.serving.servers import Served, run_refused, run_server
from tests.serving.trips import OBJECTIVES, Trained, train_model, train_on


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, Trained]:
    root = tmp_path_factory.mktemp("models")
    return {task: train_model(task, root / task) for task in OBJECTIVES}


@pytest.fixture(scope="session")
def binary(models) -> Trained:
    return models["binary"]


@pytest.fixture(scope="session")
def whole(binary) -> list[dict]:
    """Two rows with nothing missing."""
    full = [row for row in binary.rows if None not in row.values()]
    return full[:2]


@pytest.fixture(scope="session")
def server(binary) -> Iterator[Served]:
    flags = ["--model_version", "7", "--max_body_mib", 1, "--log_requests", 0]
    with run_server(binary.path, *flags) as served:
        yield served


@pytest.fixture(scope="session")
def both(binary) -> Iterator[Served]:
    """A server that answers gRPC too."""
    flags = ["--model_version", "7", "--enable_grpc", "true", "--grpc_port", 0]
    with run_server(binary.path, *flags) as served:
        yield served


@pytest.fixture(scope="session")
def serving():
    return run_server


@pytest.fixture(scope="session")
def refused():
    return run_refused


@pytest.fixture(scope="session")
def train():
    return train_model


@pytest.fixture(scope="session", name="train_on")
def train_on_fixture():
    return train_on
