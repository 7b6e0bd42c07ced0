"""Workers on a cluster: a TrainJob of Kubeflow Trainer v2, as long as this step lives.

It takes image, resources, account and credentials from the step's own pod. Its name comes from the
step's output, so that a step that is tried again finds the job of its first try; the owner
reference lets the cluster remove the job with the pod.
"""

import hashlib
import logging
import time
from typing import Any

from shipway.components.lib.access import check_training_access
from shipway.components.lib.cluster import Cluster, own_namespace
from shipway.components.lib.errors import WorkerError
from shipway.components.lib.own_pod import credentials_of, main_container, own_pod, owned_by
from shipway.components.train.workers import LINES, MODULE, Job, ending_on_sigterm

KIND = "TrainJob"
RUNTIME = "xgboost-distributed"
NODE = "node"  # Trainer's name of the workers' replicated job and of their container
JOB_LABEL = "jobset.sigs.k8s.io/jobset-name"
POLL_SECONDS = 5.0
GONE_SECONDS = 120.0
_log = logging.getLogger(__name__)

Object = dict[str, Any]


def run_train_job(job: Job, count: int) -> None:
    """Run the workers as pods, and wait for their end.

    Raises:
        ConfigurationError: a right is missing; the message holds it.
        EndpointError: the API refuses or cannot be reached.
        WorkerError: the job failed, with the reason and the last lines of its pods.
    """
    cluster = Cluster(own_namespace(""))
    check_training_access(cluster)
    body = manifest(job, count, own_pod(cluster))
    name = body["metadata"]["name"]
    with ending_on_sigterm():
        standing = cluster.get(KIND, name)
        if standing is not None and not _may_be_adopted(standing, body):
            _remove(cluster, name)
        try:
            cluster.apply(body)
            _log.info("%s '%s' trains with %d workers", KIND, name, count)
            _wait(cluster, name)
        finally:
            cluster.delete(KIND, name)


def manifest(job: Job, count: int, pod: Object) -> Object:
    """The TrainJob of a job, for the pod of a step."""
    main = main_container(pod)
    name = "shipway-" + hashlib.sha256(job.checkpoints.encode()).hexdigest()[:16]
    template = {
        # A proxy beside the worker would outlive it, and stand between the workers.
        "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
        "spec": {"serviceAccountName": pod["spec"].get("serviceAccountName", "default")},
    }
    patch = {"replicatedJobs": [{"name": NODE, "template": {"spec": {"template": template}}}]}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": KIND,
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/part-of": "shipway"},
            "ownerReferences": owned_by(pod),
        },
        "spec": {
            "runtimeRef": {"name": RUNTIME},
            "trainer": {
                "image": main["image"],
                "command": ["python3", "-m", MODULE],
                "args": [job.to_json()],
                "numNodes": count,
                "resourcesPerNode": main.get("resources", {}),
                "env": credentials_of(main),
            },
            "runtimePatches": [
                {
                    "manager": "shipway.dev/train",
                    "trainingRuntimeSpec": {"template": {"spec": patch}},
                }
            ],
        },
    }


def _condition(job: Object, kind: str) -> Object | None:
    found = job.get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == kind and one["status"] == "True"), None)


def _may_be_adopted(standing: Object, body: Object) -> bool:
    going = "deletionTimestamp" in standing["metadata"] or _condition(standing, "Failed")
    ours, theirs = body["spec"]["trainer"], standing["spec"].get("trainer", {})
    return not going and all(theirs.get(name) == ours[name] for name in ("args", "numNodes"))


def _remove(cluster: Cluster, name: str) -> None:
    cluster.delete(KIND, name)
    deadline = time.monotonic() + GONE_SECONDS
    while cluster.get(KIND, name) is not None:
        if time.monotonic() > deadline:
            raise WorkerError(
                f"{KIND} '{name}' of an earlier try does not go. Delete it, and try again."
            )
        time.sleep(POLL_SECONDS)


def _wait(cluster: Cluster, name: str) -> None:
    while True:
        job = cluster.get(KIND, name)
        if job is None:
            raise WorkerError(f"{KIND} '{name}' was deleted while it trained. Run the step again.")
        if _condition(job, "Complete"):
            return
        if failed := _condition(job, "Failed"):
            why = f"{failed.get('reason', '')}: {failed.get('message', '')}".strip(": ")
            words = _last_words(cluster, name)
            raise WorkerError(f"{KIND} '{name}' failed: {why or 'it gives no reason'}.{words}")
        time.sleep(POLL_SECONDS)


def _last_words(cluster: Cluster, name: str) -> str:
    told = ""
    for pod in cluster.find("Pod", f"{JOB_LABEL}={name}"):
        if pod.get("status", {}).get("phase") == "Failed":
            words = cluster.last_words(pod["metadata"]["name"], NODE, previous=False, lines=LINES)
            told += f"\nPod '{pod['metadata']['name']}' wrote last:\n{words or 'nothing'}"
    return told
