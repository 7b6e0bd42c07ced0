"""Environments built by the real `uv`, from locks that are small; a failure says what to do."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uv

from shipway import components
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.images import DATA, SERVE, TRAIN
from shipway.pipelines import environments
from shipway.pipelines.environments import data_recipe, prepare

TARGETS = ("data", "data-local", "train", "serve")
MISSING = f"shipway-no-such-package==1 --hash=sha256:{0:064}\n"


@pytest.fixture
def locks(tmp_path, monkeypatch):
    """A folder of locks that hold nothing, in place of the package's own."""
    folder = tmp_path / "locks"
    folder.mkdir()
    for target in TARGETS:
        (folder / f"{target}.lock").write_text(f"# {target}\n")
    monkeypatch.setattr(environments, "LOCKS", folder)
    # So that no interpreter but this one is needed.
    monkeypatch.setattr(environments, "LOCAL_PYTHON", environments._here())
    return folder


@pytest.fixture
def state(tmp_path):
    return tmp_path / ".shipway"


@pytest.fixture
def slow_uv(tmp_path, monkeypatch):
    """In place of `uv`, a program that notes its pid and goes on for a minute."""
    program = tmp_path / "slow-uv"
    program.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(program))
    return tmp_path / "pids"


def run_in(environment, code):
    command = [str(environment / "bin" / "python"), "-I", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_the_running_package_is_importable_in_each(locks, state, say):
    built = prepare([DATA, TRAIN, SERVE], state, say)
    assert sorted(built) == sorted([DATA, TRAIN, SERVE])
    assert len(set(built.values())) == 3
    for environment in built.values():
        assert environment.parent == state / "envs"
        code = "import shipway.components as c; print(c.__file__)"
        where = Path(run_in(environment, code)).resolve()
        assert where == Path(components.__file__).resolve()


def test_the_registry_and_tag_do_not_matter(locks, state, say):
    names = [TRAIN, "localhost:5000/a/shipway-train:9", f"x/shipway-train@sha256:{0:064}"]
    assert len(set(prepare(names, state, say).values())) == 1


def test_an_image_of_somebody_else_is_refused(state, say):
    with pytest.raises(ConfigurationError, match="'python:3.13'.*shipway-data.*shipway compile"):
        prepare(["python:3.13"], state, say)


def test_the_second_time_nothing_is_run(locks, state, monkeypatch):
    told = []
    first = prepare([TRAIN, SERVE], state, told.append)
    assert any("train" in line for line in told)
    told.clear()
    monkeypatch.setattr(subprocess, "Popen", None)
    assert prepare([TRAIN, SERVE], state, told.append) == first
    assert told == []


def test_another_lock_makes_another_environment(locks, state, say):
    old = prepare([TRAIN], state, say)[TRAIN]
    (locks / "train.lock").write_text("# changed\n")
    new = prepare([TRAIN], state, say)[TRAIN]
    assert new != old
    assert (old / "complete").exists()


def test_what_an_interrupted_build_left_is_built_again(locks, state, say):
    environment = prepare([TRAIN], state, say)[TRAIN]
    (environment / "complete").unlink()
    (environment / "bin" / "python").unlink()
    assert prepare([TRAIN], state, say)[TRAIN] == environment
    assert run_in(environment, "print(1)") == "1"


def test_an_interpreter_that_went_away_is_replaced(locks, state, say):
    environment = prepare([TRAIN], state, say)[TRAIN]
    python = environment / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    prepare([TRAIN], state, say)
    assert run_in(environment, "print(1)") == "1"


def test_links_follow_the_package_when_it_moves(locks, state, say):
    environment = prepare([TRAIN], state, say)[TRAIN]
    (link,) = environment.glob("lib/python*/site-packages/shipway/components")
    link.unlink()
    link.symlink_to("/nowhere/components")
    prepare([TRAIN], state, say)
    assert link.resolve() == Path(components.__file__).resolve().parent


def test_two_runs_at_once_build_it_once(locks, state, say, monkeypatch):
    def counted(*arguments):
        builds.append(arguments)
        install(*arguments)

    builds = []
    install = environments.Installer.install
    monkeypatch.setattr(environments.Installer, "install", counted)
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(prepare, [TRAIN], state, say) for _ in range(4)]
        (environment,) = {run.result()[TRAIN] for run in runs}
    assert len(builds) == 1
    assert run_in(environment, "import shipway.components") == ""


@pytest.mark.parametrize("failing", ["train", "serve"])
def test_a_failed_build_says_what_to_do_and_does_not_count(locks, state, say, monkeypatch, failing):
    monkeypatch.setenv("UV_OFFLINE", "1")
    (locks / f"{failing}.lock").write_text(MISSING)
    with pytest.raises(ConfigurationError) as caught:
        prepare([TRAIN, SERVE], state, say)
    message = str(caught.value)
    (log,) = (state / "envs").glob(f"{failing}-*.log")
    for part in (f"'{failing}'", f"'{failing}.lock'", "proxy", str(log), "no-such-package"):
        assert part in message
    assert not list((state / "envs").glob(f"{failing}-*/complete"))
    monkeypatch.setenv("UV_OFFLINE", "0")
    (locks / f"{failing}.lock").write_text("# mended\n")
    prepare([TRAIN, SERVE], state, say)


def test_a_missing_python_is_named(locks, state, say, monkeypatch):
    monkeypatch.setattr(environments, "LOCAL_PYTHON", "3.99")
    with pytest.raises(ConfigurationError, match=r"image 'data'.*Install Python 3\.99"):
        prepare([DATA], state, say)


@pytest.mark.parametrize(
    ("printed", "cure"),
    [
        ("failed to copy file: No space left on device (os error 28)", "The disk is full. Free"),
        ("cause: tunnel error: failed to create underlying connection", "Read the log"),
        ("error: Failed to fetch: simple/certifi/\ncause: Connection refused", "HTTPS_PROXY"),
        ("error: Failed to download `click==8.1.8`\ncause: Hash mismatch for", "uv cache clean"),
        ("tfdv==1.21.0 has no wheels with a matching platform tag", "Linux on x86_64"),
        ("Failed to build `pyfarmhash`\nerror: command 'g++' failed", "g\\+\\+, python3-dev"),
    ],
)
def test_the_cure_fits_the_cause(locks, state, say, tmp_path, monkeypatch, printed, cure):
    """What `uv` printed when it was brought to fail so, shortened."""
    (tmp_path / "printed").write_text(printed)
    program = tmp_path / "failing-uv"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/printed >&2\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(program))
    with pytest.raises(ConfigurationError, match=cure):
        prepare([TRAIN], state, say)


def test_the_first_failure_ends_the_other_builds(locks, state, say, slow_uv, monkeypatch):
    def broken_for_serve(self, environment, python, lock, log, what):
        if lock.name == "serve.lock":
            wait_for(slow_uv.exists)
            raise ConfigurationError("broken")
        install(self, environment, python, lock, log, what)

    install = environments.Installer.install
    monkeypatch.setattr(environments.Installer, "install", broken_for_serve)
    with pytest.raises(ConfigurationError, match="broken"):
        prepare([TRAIN, SERVE], state, say)
    (pid,) = map(int, slow_uv.read_text().split())
    assert not is_running(pid)


@pytest.mark.parametrize("holder", ["uv", "another run"])
def test_an_interrupt_leaves_nothing_running(locks, state, tmp_path, slow_uv, holder):
    """Only the one process gets the signal, as from `kill`: its builds must end with it."""
    code = (
        "import sys, uv\n"
        "from pathlib import Path\n"
        "from shipway.components.lib.images import TRAIN\n"
        "from shipway.pipelines import environments\n"
        f"environments.LOCKS = Path({str(locks)!r})\n"
        f"uv.find_uv_bin = lambda: {uv.find_uv_bin()!r}\n"
        "say = lambda line: print(line, flush=True)\n"
        f"environments.prepare([TRAIN], Path({str(state)!r}), say)\n"
    )

    def begin():
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    first = begin()
    wait_for(slow_uv.exists)
    wait_for(slow_uv.read_text)
    (pid,) = map(int, slow_uv.read_text().split())
    second = begin() if holder == "another run" else first
    assert "Building" in second.stdout.readline()
    try:
        time.sleep(0.5)
        second.send_signal(signal.SIGINT)
        _, error = second.communicate(timeout=20)
        assert "KeyboardInterrupt" in error
        # Another run's build is none of the interrupted one's business.
        assert is_running(pid) == (holder == "another run")
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=20)
    assert not is_running(pid)
    assert len(slow_uv.read_text().split()) == 1
    assert not list((state / "envs").glob("*/complete"))


@pytest.mark.parametrize(
    ("python", "glibc", "lock", "with_python"),
    [
        ("3.13", (2, 41), "data.lock", "3.13"),
        ("3.13", (2, 39), "data.lock", "3.13"),
        ("3.13", (2, 36), "data-local.lock", "3.11"),
        ("3.12", (2, 39), "data-local.lock", "3.11"),
        ("3.11", (2, 36), "data-local.lock", "3.11"),
        ("3.13", (0,), "data-local.lock", "3.11"),
    ],
)
def test_the_data_environment_takes_the_newest_tfdv_that_fits(python, glibc, lock, with_python):
    recipe = data_recipe(python, glibc)
    assert (recipe.lock.name, recipe.python) == (lock, with_python)
    assert recipe.lock.is_file()
