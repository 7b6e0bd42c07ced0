"""Builders of tiny tables, and where the shared real tables lie when they are there."""

import signal
from pathlib import Path

import pytest

# Jobs in the background ignore it, and what they start does so, too: tests interrupt processes.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared real tables are not beside this checkout")
    return SHARED_DATA
