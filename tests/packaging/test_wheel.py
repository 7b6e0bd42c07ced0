"""A wheel from a clean copy of the tree: all that it needs, nothing else, and it works alone."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    variables = {key: value for key, value in os.environ.items() if key not in hidden}
    variables |= {"UV_SYSTEM_CERTS": "1"}
    command = [str(word) for word in words]
    return subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m build` makes, by way of the source distribution."""
    clone = tmp_path_factory.mktemp("clone") / "shipway"
    clone.mkdir()
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / name, clone)
    for name in ("components", "pipelines", "tests"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    built = run(sys.executable, "-m", "build", "--installer", "uv", cwd=clone)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (clone / "dist").glob("*.whl")
    return path


def test_it_holds_every_module_and_every_file_that_they_read(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    held = {name for name in names if ".dist-info/" not in name}
    wanted = {
        f"shipway/{path.relative_to(ROOT)}"
        for folder in ("components", "pipelines")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md"
    }
    assert held == wanted
    assert {
        "shipway/components/py.typed",
        "shipway/components/images/data-local.lock",
        "shipway/pipelines/py.typed",
        "shipway/pipelines/compiled/train_and_deploy.yaml",
    } <= held
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it requires, no extra."""
    import uv

    path = tmp_path_factory.mktemp("empty") / "environment"
    tool, python = uv.find_uv_bin(), path / "bin" / "python"
    made = run(tool, "venv", "--python", sys.executable, path, cwd=path.parent)
    assert made.returncode == 0, made.stderr
    installed = run(tool, "pip", "install", "--python", python, wheel, cwd=path.parent)
    assert installed.returncode == 0, installed.stderr
    return path


def test_it_works_in_an_empty_environment(environment: Path, tmp_path: Path) -> None:
    assert run(environment / "bin" / "python", "-c", "import kfp", cwd=tmp_path).returncode == 1
    shipway = environment / "bin" / "shipway"
    assert "Usage: shipway" in run(shipway, "--help", cwd=tmp_path).stdout
    sample = run(shipway, "sample", "churn", "--rows", "100", "--out", "out", cwd=tmp_path)
    assert sample.returncode == 0, sample.stderr
    assert (tmp_path / "out" / "churn.csv").stat().st_size
    listing = run(shipway, "run", "train-and-deploy", "--list", cwd=tmp_path)
    assert "data_uri" in listing.stdout, listing.stderr


def test_without_uv_a_local_run_says_what_to_install(environment: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from shipway.components.lib.images import SERVE\n"
        "from shipway.pipelines.environments import prepare\n"
        "prepare([SERVE], Path('state'), print)\n"
    )
    ran = run(environment / "bin" / "python", "-c", code, cwd=tmp_path)
    assert ran.returncode == 1
    assert "pip install 'shipway[local]'" in ran.stderr
    assert not list((tmp_path / "state" / "envs").glob("*/complete"))
