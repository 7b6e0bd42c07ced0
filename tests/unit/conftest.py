"""The Python of the data image's environment, where TFDV is, and programs that run in it."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipway import components
from shipway.components.lib.images import DATA

Drive = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture(scope="session")
def data_python(repository: Path) -> Path:
    """A Python that has TFDV; an environment variable may name one."""
    known = os.environ.get("SHIPWAY_DATA_PYTHON")
    if known:
        return Path(known)
    from shipway.pipelines.environments import prepare

    return prepare([DATA], repository / ".shipway", lambda _: None)[DATA] / "bin" / "python"


@pytest.fixture(scope="session")
def drive(data_python: Path) -> Drive:
    """Runs a program there that writes JSON to the file it is named last; also what it said."""

    def run(folder: Path, program: str, *arguments: object) -> tuple[dict[str, Any], str]:
        # The environment need not have the package: a link maps its name on this checkout's folder.
        (folder / "link" / "shipway").mkdir(parents=True)
        (folder / "link" / "shipway" / "components").symlink_to(Path(components.__file__).parent)
        (folder / "driver.py").write_text(program)
        told = folder / "seen.json"
        ran = subprocess.run(
            [str(one) for one in (data_python, folder / "driver.py", *arguments, told)],
            env=os.environ | {"PYTHONPATH": str(folder / "link")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-3_000:]
        return json.loads(told.read_text()), ran.stderr

    return run
