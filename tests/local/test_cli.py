"""The command as a user types it; a whole life of an endpoint in processes of their own."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import command as here

COMMANDS = ["compile", "run", "serve", "status", "stop", "reports", "sample"]
COMMANDS += ["submit", "upload", "schedule"]
SHIPWAY = [sys.executable, "-c", "from shipway.pipelines.cli import main; main()"]


def shipway(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SHIPWAY, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def folder(shell) -> Path:
    """A working directory whose environments are shared; its endpoints are stopped at the end."""
    return shell.state.parent


def running(folder: Path) -> list[str]:
    """Command lines of the processes that have to do with a folder."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(folder) in line:
                lines.append(line)
    return lines


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example(tmp_path: Path, command: str) -> None:
    result = here.shipway(tmp_path, command, "--help")
    assert result.returncode == 0
    assert f"Example:  shipway {command}" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "train-and-deploy", "--set", "lable=y"], "Did you mean 'label'"),
        (["run", "train-and-deploi"], "Did you mean 'train-and-deploy'"),
        (["run", "train-and-deploy", "--set", "label"], "--set label=VALUE"),
        (["run", "train-and-deploy", "--params", "nowhere.yaml"], "nowhere.yaml"),
        (["stop", "nobody"], "No endpoint 'nobody'"),
        (["reports"], "No run is recorded"),
        (["sample", "churn", "--rows", "3"], "at least 100"),
        (["serve", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_message(folder: Path, words: list[str], expected: str) -> None:
    result = here.shipway(folder, *words)
    assert result.returncode == 1
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / ".shipway" / "runs").exists()


def test_compile_check_passes_and_fails_on_a_stale_file(tmp_path: Path) -> None:
    assert here.shipway(tmp_path, "compile", "--check").returncode == 0
    assert here.shipway(tmp_path, "compile", "--output", str(tmp_path / "out")).returncode == 0
    written = tmp_path / "out" / "train_and_deploy.yaml"
    written.write_text(written.read_text().replace("0.15", "0.16"))
    result = here.shipway(tmp_path, "compile", "--check", "--output", str(tmp_path / "out"))
    assert result.returncode == 1
    assert "train_and_deploy.yaml" in result.stderr


@pytest.mark.slow  # two whole runs; one is in test_bad_input
def test_the_whole_life_of_an_endpoint(folder: Path, free_port: int) -> None:
    assert shipway(folder, "sample", "churn", "--rows", "3000", "--out", "data").returncode == 0
    words = ["run", "train-and-deploy", "--set", "data_uri=data/churn.csv", "--set"]
    words += ["label=churned", "--set", "model_name=churn", "--set", f"endpoint_port={free_port}"]
    words += ["--set", "model_store=elsewhere/models"]
    result = shipway(folder, *words)
    assert result.returncode == 0, result.stdout + result.stderr
    curl = next(line for line in result.stdout.splitlines() if line.startswith("curl "))
    answer = subprocess.run(shlex.split(curl), capture_output=True, text=True, check=True).stdout
    prediction = json.loads(answer)["predictions"][0]
    assert prediction["label"] in ("Yes", "No")
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)

    status = shipway(folder, "status")
    assert status.returncode == 0
    assert re.search(rf"churn +version 1 .*:{free_port} +answers", status.stdout)
    pages = [line.split()[1] for line in shipway(folder, "reports").stdout.splitlines()]
    assert len(pages) >= 6
    assert all(Path(folder, page).is_file() for page in pages)

    # A second run with other data takes over the same port; its version is the next one.
    assert shipway(folder, "sample", "churn", "--rows", "3000", "--seed", "1", "--out", "data")
    again = shipway(folder, *words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "version 2" in shipway(folder, "status").stdout

    assert shipway(folder, "stop").returncode == 0
    assert "No endpoint" in shipway(folder, "status").stdout
    assert running(folder) == []


def test_an_interrupt_leaves_nothing_running(folder: Path, free_port: int) -> None:
    assert shipway(folder, "sample", "churn", "--rows", "3000", "--out", "data").returncode == 0
    words = ["run", "train-and-deploy", "--set", "data_uri=data/churn.csv", "--set"]
    words += ["label=churned", "--set", "model_name=churn", "--set", f"endpoint_port={free_port}"]
    process = subprocess.Popen(
        [*SHIPWAY, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 200
    while not list((folder / ".shipway").glob("runs/*/logs/validate-table.log")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted" in errors
    assert running(folder) == []
