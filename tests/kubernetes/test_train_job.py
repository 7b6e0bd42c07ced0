"""Workers as a TrainJob: the API over HTTP, and real worker processes in the place of pods."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from shipway.components.lib.access import TRAINING
from shipway.components.lib.cluster import Cluster
from shipway.components.lib.errors import ConfigurationError, EndpointError, WorkerError
from shipway.components.lib.model_package import check_golden, load_package
from shipway.components.lib.ports import free_port
from shipway.components.train import train_job
from shipway.components.train.train_job import manifest, run_train_job
from shipway.components.train.workers import Job
from tests.kubernetes.conftest import HERE, kubeconfig, load

POD = {
    "metadata": {"name": "step-1", "namespace": "team", "uid": "7c5f"},
    "spec": {
        "serviceAccountName": "pipeline-runner",
        "containers": [
            {"name": "wait", "image": "argoexec"},
            {
                "name": "main",
                "image": "shipway-train:1",
                "resources": {"limits": {"cpu": "4", "memory": "16Gi"}},
                "env": [
                    {"name": "KFP_POD_NAME", "value": "step-1"},
                    {
                        "name": "AWS_ACCESS_KEY_ID",
                        "valueFrom": {"secretKeyRef": {"name": "shipway-source", "key": "id"}},
                    },
                ],
            },
        ],
    },
}
JOB = Job("s3://b/train", "s3://b/validation", "s3://b/plan", "s3://b/model.checkpoints", "k", {})


class Trainer:
    """What Trainer's controller does: a process for each node, and conditions by how they end.

    Attributes:
        started: processes by name of the job.
        command: what runs instead of the job's own command, if anything.
    """

    def __init__(self, api: Any, folder: Path) -> None:
        self.api, self.folder = api, folder
        self.started: dict[str, list[subprocess.Popen]] = {}
        self.command: list[str] = []

    def on_seen(self, obj: dict[str, Any]) -> None:
        if obj.get("kind") != "TrainJob":
            return
        name = obj["metadata"]["name"]
        if obj.get("deleted"):
            for process in self.started.pop(name, []):
                process.kill()
                process.wait()
        elif obj.get("applied"):
            self.started.setdefault(name, []) or self._start(obj)
        elif name in self.started:
            self._tell(obj)

    def _start(self, job: dict[str, Any]) -> None:
        trainer, port = job["spec"]["trainer"], free_port()
        for rank in range(trainer["numNodes"]):
            told = {
                "DMLC_TRACKER_URI": "127.0.0.1",
                "DMLC_TRACKER_PORT": str(port),
                "DMLC_TASK_ID": str(rank),
                "DMLC_NUM_WORKER": str(trainer["numNodes"]),
                "OMP_NUM_THREADS": "1",
            }
            command = self.command or [*trainer["command"][1:], *trainer["args"]]
            with (self.folder / str(rank)).open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, *command],
                    env=os.environ | told,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            self.started[job["metadata"]["name"]].append(process)

    def _tell(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        ends = [process.poll() for process in self.started[name]]
        told = {"type": "Complete", "status": "True"} if ends == [0, 0] else None
        for rank in [rank for rank, end in enumerate(ends) if end]:
            pod = f"{name}-node-0-{rank}"
            labels = {"jobset.sigs.k8s.io/jobset-name": name}
            self.api.objects["pods", "team", pod] = {
                "metadata": {"name": pod, "labels": labels},
                "status": {"phase": "Failed"},
            }
            self.api.logs[pod] = (self.folder / str(rank)).read_text()
            told = {"type": "Failed", "status": "True"}
            told |= {"reason": "FailedJobs", "message": "jobset failed due to one or more job"}
        if told:
            job["status"] = {"conditions": [told]}


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainer]:
    kube_config = pytest.importorskip("kubernetes.config.kube_config")
    apis = load(HERE / "api.py")
    api = apis.Api()
    found = Trainer(api, tmp_path)
    api.seen = found.on_seen
    api.objects["pods", "team", "step-1"] = json.loads(json.dumps(POD))
    with apis.running(api):
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(api.url)))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setenv("KUBECONFIG", str(path))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("KFP_POD_NAME", "step-1")
        monkeypatch.setenv("POD_NAMESPACE", "team")
        monkeypatch.setattr(train_job, "POLL_SECONDS", 0.05)
        yield found
    for processes in found.started.values():
        for process in processes:
            process.kill()
            process.wait()


def jobs(trainer: Trainer) -> list[Any]:
    return [obj for (plural, *_), obj in trainer.api.objects.items() if plural == "trainjobs"]


def test_a_step_on_a_cluster_trains_by_a_job_of_its_own(trainer, tmp_path) -> None:
    local = load(HERE.parent / "unit" / "test_workers.py")
    local.write_inputs(tmp_path)
    result = local.run(tmp_path, "model", workers=2)
    assert check_golden(load_package(tmp_path / "model")) <= 1e-6
    assert result.metrics["auc"] > 0.8
    (body,) = trainer.api.writes
    assert body["metadata"]["ownerReferences"][0]["uid"] == "7c5f"
    said = body["spec"]["trainer"]
    assert said["image"] == "shipway-train:1"
    assert said["numNodes"] == 2
    assert said["resourcesPerNode"] == {"limits": {"cpu": "4", "memory": "16Gi"}}
    assert [one["name"] for one in said["env"]] == ["AWS_ACCESS_KEY_ID"]
    patch = json.dumps(body["spec"]["runtimePatches"])
    assert '"serviceAccountName": "pipeline-runner"' in patch
    assert jobs(trainer) == []
    assert not list(tmp_path.glob("*.checkpoints"))


def test_why_a_job_failed_is_the_error_of_the_step(trainer) -> None:
    trainer.command = ["-c", "import sys; print('no space left'); sys.exit(1)"]
    said = r"FailedJobs: jobset failed(.|\n)*-node-0-[01]' wrote last:\nno space left"
    with pytest.raises(WorkerError, match=said):
        run_train_job(JOB, 2)
    assert jobs(trainer) == []


@pytest.mark.parametrize("rule", TRAINING)
def test_a_right_that_is_missing_is_told_before_anything_is_written(trainer, rule) -> None:
    trainer.api.denied = {(rule.verbs[0], rule.group, rule.resource)}
    with pytest.raises(ConfigurationError, match=re.escape(rule.as_yaml([rule.verbs[0]]))):
        run_train_job(JOB, 2)
    assert trainer.api.writes == []


@pytest.mark.parametrize("state", ["running", "failed", "another"])
def test_a_step_that_is_tried_again_takes_up_the_job_or_replaces_it(trainer, state) -> None:
    trainer.command = ["-c", "import time; time.sleep(0.5)"]
    job = Job(**JOB.__dict__ | {"key": "older"}) if state == "another" else JOB
    earlier = json.loads(json.dumps(POD)) | {"metadata": {"name": "step-0", "uid": "old"}}
    name = Cluster("team").apply(manifest(job, 2, earlier))["metadata"]["name"]
    first = list(trainer.started[name])
    if state == "failed":
        failed = {"type": "Failed", "status": "True"}
        jobs(trainer)[0]["status"] = {"conditions": [failed]}
    run_train_job(JOB, 2)
    taken_up = [process.returncode for process in first] == [0, 0]
    assert taken_up == (state == "running")
    assert trainer.api.writes[-1]["metadata"]["ownerReferences"][0]["uid"] == "7c5f"
    assert jobs(trainer) == []


def test_a_step_that_is_ended_removes_its_job(trainer) -> None:
    trainer.command = ["-c", "import time; time.sleep(60)"]
    Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(SystemExit):
        run_train_job(JOB, 2)
    assert len(trainer.api.writes) == 1
    assert jobs(trainer) == []


def test_a_cluster_without_trainer_says_what_to_install(trainer, monkeypatch) -> None:
    monkeypatch.setattr(trainer.api, "_patch", lambda *_: load(HERE / "api.py").failure(404, "no"))
    with pytest.raises(EndpointError, match=r"Install Kubeflow Trainer 2\.2 or newer"):
        run_train_job(JOB, 2)
