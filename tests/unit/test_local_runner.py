"""The local runner on small pipelines; their steps run in this very environment."""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from kfp import compiler, dsl

from shipway.components.lib.errors import ConfigurationError
from shipway.pipelines.engine import Step
from shipway.pipelines.local import run_pipeline
from shipway.pipelines.processes import ProcessEngine
from shipway.pipelines.specs import load_compiled
from shipway.pipelines.summary import message_of

IMAGE = "example.test/tiny:1"
step = dsl.component(base_image=IMAGE, install_kfp_package=False)


@step
def write(text: str, out: dsl.Output[dsl.Artifact], page: dsl.Output[dsl.HTML]) -> str:
    for artifact in (out, page):
        with open(artifact.path, "w") as file:
            file.write(text)
    return text


@step
def read(source: dsl.Input[dsl.Artifact]) -> str:
    return open(source.path).read()


@step
def refuse(text: str):
    from shipway.components.lib.errors import DataError

    raise DataError(f"Column '{text}' is missing. Add it.")


@step
def vanish(out: dsl.Output[dsl.Artifact]) -> str:
    import os

    os._exit(0)


@step
def die(out: dsl.Output[dsl.Artifact]):
    import os
    from pathlib import Path

    from shipway.components.lib.files import aside

    with aside(Path(out.path)) as draft:
        draft.write_text("half")
        os.kill(os.getpid(), 9)


@step
def sleep(pid_file: str):
    import os
    import subprocess

    child = subprocess.Popen(["sleep", "600"])
    with open(pid_file, "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    child.wait()


@step
def tell() -> str:
    import tempfile

    return tempfile.gettempdir()


@dsl.pipeline
def telling():
    tell()


@dsl.pipeline
def gated(text: str = "pass"):
    first = write(text=text)
    with dsl.If(first.outputs["Output"] == "pass"):
        read(source=first.outputs["out"])


@dsl.pipeline
def refusing(text: str = "fare"):
    refuse(text=text).set_retry(3, backoff_duration="60s")


@dsl.pipeline
def vanishing():
    vanish()


@dsl.pipeline
def dying():
    die()


@dsl.pipeline
def sleeping(pid_file: str):
    sleep(pid_file=pid_file)


class Observer:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_change(self, step: Step) -> None:
        self.seen.append((step.name, step.state))


class Outcome(NamedTuple):
    steps: dict[str, Step]
    seen: list[tuple[str, str]]


def execute(pipeline: object, folder: Path, **arguments: object) -> Outcome:
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    compiled = load_compiled(str(path))
    steps, observer = [Step(name) for name in compiled.steps], Observer()
    engine = ProcessEngine({IMAGE: Path(sys.prefix)}, folder / "run", steps, observer)
    run_pipeline(compiled, arguments, engine)
    return Outcome({one.name: one for one in steps}, observer.seen)


def test_steps_hand_over_and_are_reported(tmp_path: Path) -> None:
    outcome = execute(gated, tmp_path)
    assert outcome.seen == [
        ("write", "running"),
        ("write", "done"),
        ("read", "running"),
        ("read", "done"),
    ]
    assert outcome.steps["read"].verdict == "pass"
    assert outcome.steps["write"].artifacts["page"].read_text() == "pass"
    assert outcome.steps["write"].types["page"] == "system.HTML"


def test_a_step_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    outcome = execute(telling, tmp_path)
    assert Path(outcome.steps["tell"].verdict).parent == scratch
    assert list(scratch.iterdir()) == []


def test_what_follows_a_gate_is_skipped(tmp_path: Path) -> None:
    outcome = execute(gated, tmp_path, text="fail")
    assert outcome.steps["write"].verdict == "fail"
    assert outcome.steps["read"].state == "skipped"


def test_a_failure_says_why_and_is_not_tried_again(tmp_path: Path) -> None:
    outcome = execute(refusing, tmp_path)
    assert outcome.seen == [("refuse", "running"), ("refuse", "failed")]
    assert message_of(outcome.steps["refuse"].log) == "Column 'fare' is missing. Add it."


def test_an_exit_status_of_zero_alone_is_no_success(tmp_path: Path) -> None:
    outcome = execute(vanishing, tmp_path)
    assert outcome.steps["vanish"].state == "failed"
    assert "did not write its output 'out'" in message_of(outcome.steps["vanish"].log)


def test_a_killed_step_is_a_failure_and_leaves_no_output(tmp_path: Path) -> None:
    outcome = execute(dying, tmp_path)
    assert outcome.steps["die"].state == "failed"
    assert outcome.steps["die"].artifacts == {}
    assert [path.name for path in (tmp_path / "run").rglob("out")] == []
    assert "'die' failed: exit status" in message_of(outcome.steps["die"].log)


def test_an_interrupt_leaves_no_process(tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while not (pid_file.exists() and len(pid_file.read_text().split()) == 2):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        os.kill(os.getpid(), 2)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        execute(sleeping, tmp_path, pid_file=str(pid_file))
    thread.join()
    for pid in pid_file.read_text().split():
        deadline = time.monotonic() + 5
        while _is_alive(int(pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_an_image_without_an_environment_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(gated, str(path))
    compiled = load_compiled(str(path))
    with pytest.raises(ConfigurationError, match=IMAGE):
        steps = [Step(name) for name in compiled.steps]
        run_pipeline(compiled, {}, ProcessEngine({}, tmp_path / "run", steps, Observer()))
