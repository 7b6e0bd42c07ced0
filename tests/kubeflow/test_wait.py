"""`shipway submit --wait`: the run as it goes on, and exit codes that say how it ended."""

import io
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl
from rich.console import Console

from shipway.components.lib.errors import KubeflowError
from shipway.pipelines import watch as watching
from shipway.pipelines.kubeflow import Settings
from shipway.pipelines.package import make_package
from shipway.pipelines.specs import load_compiled
from shipway.pipelines.watch import watch

PIPELINE = load_compiled("train-and-deploy")
WAIT = ("submit", "train-and-deploy", "--wait", "--host")


def conditions(spec: Any) -> Iterator[tuple[str, str]]:
    """The tasks that an If or Else guards, with what it asks, wherever they stand."""
    for name, value in spec.items() if isinstance(spec, dict) else ():
        if isinstance(value, dict) and "condition" in value.get("triggerPolicy", {}):
            yield name, value["triggerPolicy"]["condition"]
        yield from conditions(value)


GATES = [
    (name, re.search(r"pipelinechannel--(.+)-Output", condition)[1])
    for name, condition in conditions(PIPELINE.spec)
]


@dsl.component
def decide() -> str:
    return "left"


@dsl.component
def go(where: str):
    print(where)


@dsl.pipeline
def two_ways():
    decided = decide()
    with dsl.If(decided.output == "left"):
        go(where="left")
    with dsl.Else():
        go(where="right")


def task(name: str, state: str, **more: Any) -> dict[str, Any]:
    times = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:07Z"}
    return {"display_name": name, "state": state, **times, **more}


def played(state: str, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"state": state, "run_details": {"task_details": list(tasks)}, **more}


DONE = [task(name, "SUCCEEDED") for step in PIPELINE.steps for name in (step, f"{step}-driver")]
SUCCEEDED = played("SUCCEEDED", task("condition-2", "SUCCEEDED"), *DONE)


def ran(last: str) -> list[dict[str, Any]]:
    """The tasks of a run that went as far as one step, and the alert of its end."""
    names = PIPELINE.steps[: PIPELINE.steps.index(last) + 1]
    return [task(name, "SUCCEEDED") for name in [*names, "send-alert"]]


def test_steps_are_shown_as_they_change_and_success_is_0(api, shipway, words) -> None:
    api.states = [
        {},
        played("PENDING"),
        played("RUNNING", task("ingest-table-driver", "RUNNING")),
        played("RUNNING", task("ingest-table", "RUNNING")),
        played("RUNNING", task("ingest-table", "SUCCEEDED"), task("validate-table", "PENDING")),
        SUCCEEDED,
    ]
    result = shipway(*WAIT, api.url, *words)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = [line.strip() for line in result.stdout.splitlines()]
    order = ["ingest-table ...", "ingest-table done 7.0 s", "validate-table ..."]
    order += ["validate-table done 7.0 s", "release-model done 7.0 s"]
    assert [line for line in lines if line in order] == order
    run_id = api.stored["runs"][0]["run_id"]
    assert lines[-1] == f"Succeeded: {api.url}/#/runs/details/{run_id}"


@pytest.mark.parametrize(
    "where",
    [
        {"error": {"code": 13, "message": "label 'y' is not in the table"}},
        {
            "state_history": [
                {"state": "RUNNING"},
                {"error": {"message": "label 'y' is not in the table"}},
            ]
        },
    ],
)
def test_a_failed_step_is_named_with_its_message_and_1(api, shipway, words, where) -> None:
    failed = task("validate-table", "FAILED", **where)
    api.states = [played("FAILED", *ran("ingest-table"), failed, task("exit-handler-1", "FAILED"))]
    result = shipway(*WAIT, api.url, *words)
    assert result.returncode == 1
    assert "'validate-table' failed: label 'y' is not in the table" in result.stderr
    assert result.stderr.count("failed:") == 1
    run_id = api.stored["runs"][0]["run_id"]
    assert f"#/runs/details/{run_id}" in result.stderr
    assert f"kubectl -n kubeflow logs -l pipeline/runid={run_id}" in result.stderr
    assert "validate-table failed 7.0 s" in result.stdout
    assert "split-table skipped" in result.stdout


@pytest.mark.parametrize(("condition", "gate"), GATES)
def test_a_gate_that_stopped_the_run_is_named_and_3(
    api, shipway, words, condition: str, gate: str
) -> None:
    driver = task(f"{condition}-driver", "SUCCEEDED")
    api.states = [played("SUCCEEDED", *ran(gate), driver, task(condition, "SKIPPED"))]
    result = shipway(*WAIT, api.url, *words)
    assert result.returncode == 3, result.stdout + result.stderr
    assert f"Stopped by the gate '{gate}'" in result.stdout
    assert "release-model skipped" in result.stdout


def test_the_pipeline_has_the_gates_that_are_tried() -> None:
    assert {"validate-table", "split-table", "bless-model"} <= {gate for _, gate in GATES}


def test_one_of_two_ways_is_no_gate(api, connect, tmp_path: Path) -> None:
    path = tmp_path / "two_ways.yaml"
    compiler.Compiler().compile(two_ways, str(path))
    two, kubeflow = load_compiled(str(path)), connect()
    run_id = kubeflow.submit(make_package(two), {}, Settings("first", "trial"))
    for skipped in [name for name, _ in conditions(two.spec)]:
        api.states = [played("SUCCEEDED", task("decide", "SUCCEEDED"), task(skipped, "SKIPPED"))]
        outcome = watch(kubeflow, run_id, two, Console(file=io.StringIO()))
        assert (outcome.state, outcome.closed_by) == ("SUCCEEDED", "")


def test_a_canceled_run_is_1(api, shipway, words) -> None:
    api.states = [played("CANCELING"), played("CANCELED", error={"message": "by hand"})]
    result = shipway(*WAIT, api.url, *words)
    assert result.returncode == 1
    assert "The run canceled: by hand" in result.stderr


def test_the_end_of_the_time_is_124_and_the_run_goes_on(api, shipway, words) -> None:
    api.states = [played("RUNNING")]
    began = time.monotonic()
    result = shipway(*WAIT, api.url, *words, "--timeout", "1.5")
    assert result.returncode == 124
    assert time.monotonic() - began < 60
    run_id = api.stored["runs"][0]["run_id"]
    assert f"the run goes on: {api.url}/#/runs/details/{run_id}" in result.stderr
    assert [asked.method for asked in api.asked if run_id in asked.path].count("POST") == 0


def test_an_interrupt_leaves_the_run_and_says_where_it_is(api, start, words) -> None:
    api.states = [played("RUNNING", task("ingest-table", "RUNNING"))]
    process = start(*WAIT, api.url, *words)
    assert "/#/runs/details/" in process.stdout.readline()
    assert "ingest-table" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "goes on" in errors
    assert f"/#/runs/details/{api.stored['runs'][0]['run_id']}" in errors
    assert "nothing of this run" not in errors
    assert not [asked for asked in api.asked if asked.path.endswith(":terminate")]


@pytest.fixture
def waited(connect, monkeypatch):
    """Submits and waits without the command; returns the outcome."""
    monkeypatch.setattr(watching, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(watching, "LONGEST_PAUSE", 0.05)

    def waited(meanwhile=lambda: None, **options: Any) -> watching.Outcome:
        kubeflow = connect(**options)
        run_id = kubeflow.submit(make_package(PIPELINE), {}, Settings("first", "trial"))
        meanwhile()
        return watch(kubeflow, run_id, PIPELINE, Console(file=io.StringIO()))

    return waited


def test_an_outage_does_not_end_the_waiting(api, pipelines_api, waited) -> None:
    api.states = [played("RUNNING"), SUCCEEDED]

    def break_off() -> None:
        path = api.stored["runs"][0]["run_id"]
        api.faults = [pipelines_api.Fault("GET", path) for _ in range(9)]

    assert waited(break_off).state == "SUCCEEDED"
    assert api.faults == []


def test_an_outage_without_end_does(api, pipelines_api, waited, monkeypatch) -> None:
    monkeypatch.setattr(watching, "PATIENCE", 0.2)
    faults = [pipelines_api.Fault("GET", "", 503) for _ in range(1000)]
    with pytest.raises(KubeflowError, match="busy"):
        waited(lambda: api.faults.extend(faults))


def test_a_token_that_expires_meanwhile_is_said_with_the_run(
    api, start, words, team, token_file
) -> None:
    api.states = [played("RUNNING", task("ingest-table", "RUNNING"))]
    process = start(*WAIT, api.url, *words, *team)
    process.stdout.readline()
    process.stdout.readline()
    token_file("system:serviceaccount:team:builder", ends_in=-1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "expired at" in errors
    assert f"The run goes on: {api.url}/#/runs/details/" in errors


def test_an_attempt_that_failed_is_no_failed_step_but_a_pass_of_a_loop_is(api, waited) -> None:
    retried = [task("ingest-table(0)", "FAILED"), task("ingest-table", "SUCCEEDED")]
    looped = [task("train-model", "SUCCEEDED"), task("train-model", "FAILED")]
    driver = task("validate-table-driver", "FAILED")
    api.states = [played("FAILED", *retried, *looped, driver)]
    assert list(waited().failed) == ["validate-table", "train-model"]


def test_a_run_that_cannot_be_read_is_said(api, waited) -> None:
    api.states = [{"error": {"message": "missing pipeline source"}}]
    with pytest.raises(KubeflowError, match="missing pipeline source"):
        waited()
