"""Runs of pipelines in containers of the images that were built."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.images import SERVE, TRAIN
from shipway.pipelines.container_client import connect
from shipway.pipelines.containers import LABEL, ContainerEngine
from shipway.pipelines.engine import Step
from shipway.pipelines.local import run_pipeline
from shipway.pipelines.specs import load_compiled
from shipway.pipelines.summary import message_of

pytestmark = [pytest.mark.slow, pytest.mark.containers, pytest.mark.timeout(1800)]
step = dsl.component(base_image=TRAIN, install_kfp_package=False)


@step
def crash():
    import os

    os._exit(7)


@step
def vanish(out: dsl.Output[dsl.Artifact]):
    import os

    os._exit(0)


@step
def tell(out: dsl.Output[dsl.Artifact]) -> str:
    import os

    with open(out.path, "w") as file:
        file.write(os.environ["SHIPWAY_IMAGE"])
    print("said in the container")
    return f"{os.getuid()} {os.access('/', os.W_OK)} {os.getpid()}"


@step
def sleep(started: str):
    import time

    open(started, "w").close()
    time.sleep(600)


@dsl.pipeline
def crashing():
    crash()


@dsl.pipeline
def vanishing():
    vanish()


@dsl.pipeline
def telling():
    tell()


@dsl.pipeline
def sleeping(started: str):
    sleep(started=started)


@dsl.pipeline
def sleeping_where_servers_live(started: str, serving_target: str = "local"):
    dsl.component(sleep.python_func, base_image=SERVE, install_kfp_package=False)(started=started)


class Observer:
    def on_change(self, step: Step) -> None:
        pass


def execute(pipeline: Any, folder: Path, **arguments: Any) -> Step:
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    compiled = load_compiled(str(path))
    (only,) = steps = [Step(name) for name in compiled.steps]
    client = connect(compiled.images)
    run = folder / "run"
    engine = ContainerEngine(client, compiled.images, arguments, run, steps, Observer())
    run_pipeline(compiled, arguments, engine)
    return only


def await_none(images: Any, label: str) -> None:
    """A container whose last process ended is removed by the engine a moment later."""
    deadline = time.monotonic() + 20
    while images.client.containers.list(all=True, filters={"label": label}):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_step_runs_as_the_caller_on_a_read_only_root(images: Any, tmp_path: Path) -> None:
    told = execute(telling, tmp_path)
    assert told.state == "done"
    assert told.verdict.startswith(f"{os.getuid()} False ")
    assert told.artifacts["out"].read_text() == TRAIN
    assert told.artifacts["out"].stat().st_uid == os.getuid()
    assert "said in the container" in told.log.read_text()


@pytest.mark.parametrize("attempt", range(3))
def test_a_crash_is_never_a_success(images: Any, tmp_path: Path, attempt: int) -> None:
    crashed = execute(crashing, tmp_path)
    assert crashed.state == "failed"
    assert "exit status 7" in message_of(crashed.log)


def test_an_exit_status_of_zero_alone_is_no_success(images: Any, tmp_path: Path) -> None:
    vanished = execute(vanishing, tmp_path)
    assert vanished.state == "failed"
    assert "did not write its output 'out'" in message_of(vanished.log)


@pytest.mark.parametrize(
    ("pipeline", "given"),
    [(sleeping, {}), (sleeping_where_servers_live, {"serving_target": "local"})],
)
def test_an_interrupt_removes_the_container(
    images: Any, tmp_path: Path, pipeline: Any, given: dict[str, str]
) -> None:
    started = tmp_path / "run" / "started"

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        execute(pipeline, tmp_path, **given, started=str(started))
    thread.join()
    await_none(images, f"{LABEL}=run")


def test_an_image_that_is_missing_is_named_with_the_cure(images: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"example.test/none:1.*make images"):
        connect([TRAIN, "example.test/none:1"])


def inside(container: Any) -> int:
    return int(container.attrs["State"]["Pid"])


def test_a_pipeline_ends_with_an_endpoint_in_a_container(images: Any, shell: Any) -> None:
    (record,) = shell.records()
    (answer,) = shell.ask(record)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    (container,) = images.client.containers.list(filters={"label": LABEL})
    mounts = [os.readlink(f"/proc/{pid}/ns/mnt") for pid in (record.pid, inside(container), "self")]
    assert mounts[0] == mounts[1] != mounts[2]
    status = shell.shipway("status")
    assert status.returncode == 0, status.stdout
    assert "answers" in status.stdout


def test_a_step_that_fails_fails_the_run(shell: Any) -> None:
    failed = shell.run("--set", "label=nothing")
    assert failed.returncode == 1
    assert "failed  ingest-table" in failed.stdout
    assert "nothing" in failed.stdout


def test_a_second_run_takes_the_endpoint_over_and_stop_leaves_nothing(
    images: Any, shell: Any
) -> None:
    (before,) = shell.records()
    again = shell.run("--set", "training_parameters=max_depth=2")
    assert again.returncode == 0, again.stdout + again.stderr
    (after,) = shell.records()
    assert shell.ask(after)
    assert (after.port, after.pid) != (before.port, before.pid)
    assert not before.is_running
    assert shell.shipway("stop", "churn").returncode == 0
    await_none(images, LABEL)
