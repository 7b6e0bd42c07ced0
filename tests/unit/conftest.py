"""The Python of the data image's environment, where TFDV is."""

import os
from pathlib import Path

import pytest

from shipway.components.lib.images import DATA


@pytest.fixture(scope="session")
def data_python(repository: Path) -> Path:
    """A Python that has TFDV; an environment variable may name one."""
    known = os.environ.get("SHIPWAY_DATA_PYTHON")
    if known:
        return Path(known)
    from shipway.pipelines.environments import prepare

    return prepare([DATA], repository / ".shipway", lambda _: None)[DATA] / "bin" / "python"
