"""Katib's Experiment of a search: the same space, and trials that are pods of this step's kind.

Fields as in Katib's `experiment_types.go` and `common_types.go`, kubeflow.org/v1beta1.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from shipway.components.lib.own_pod import credentials_of, main_container, owned_by
from shipway.components.tune.request import Request
from shipway.components.tune.space import Range, Space

MODULE = "shipway.components.tune.trial"
METRIC = "loss"
FACTS = ("rounds", "leaves", "seconds")
CONTAINER = "trial"
TRIALS, PARALLEL = 200, 3  # at most and at a time, where the request leaves it open
ENDED = 'status.conditions.#(type=="{}")#|#(status=="True")#'

Object = dict[str, Any]


def manifest(
    name: str, space: Space, request: Request, places: Mapping[str, str], pod: Object
) -> Object:
    """The Experiment.

    Args:
        name: of it.
        space: what is searched.
        request: what is tuned, and the budgets.
        places: URIs of train, validation and plan.
        pod: the step's own, whose image, account, resources and credentials trials take.
    """
    trials = request.trials or TRIALS
    parallel = min(request.jobs or PARALLEL, trials)
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/part-of": "shipway"},
            "ownerReferences": owned_by(pod),
        },
        "spec": {
            "objective": {
                "type": "minimize",
                "objectiveMetricName": METRIC,
                "additionalMetricNames": list(FACTS),
            },
            "algorithm": {
                "algorithmName": "tpe",
                "algorithmSettings": [{"name": "random_state", "value": str(request.seed)}],
            },
            "maxTrialCount": trials,
            "parallelTrialCount": parallel,
            "maxFailedTrialCount": parallel,
            "resumePolicy": "Never",
            "parameters": [_parameter(one, space.ranges[one]) for one in sorted(space.ranges)],
            "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
            "trialTemplate": {
                "primaryContainerName": CONTAINER,
                "successCondition": ENDED.format("Complete"),
                "failureCondition": ENDED.format("Failed"),
                "trialParameters": [
                    {"name": one, "reference": one} for one in sorted(space.ranges)
                ],
                "trialSpec": _job(space, request, places, pod),
            },
        },
    }


def _parameter(name: str, one: Range) -> Object:
    bounds = [str(int(value)) if one.whole else f"{value:g}" for value in (one.low, one.high)]
    feasible = dict(zip(("min", "max"), bounds, strict=True))
    if one.log:
        feasible["distribution"] = "logUniform"
    return {
        "name": name,
        "parameterType": "int" if one.whole else "double",
        "feasibleSpace": feasible,
    }


def _job(space: Space, request: Request, places: Mapping[str, str], pod: Object) -> Object:
    main = main_container(pod)
    arguments = [f"--{name}={uri}" for name, uri in places.items()]
    arguments += [f"--request={json.dumps(asdict(request), sort_keys=True)}"]
    arguments += [f"--set={one}=${{trialParameters.{one}}}" for one in sorted(space.ranges)]
    container = {
        "name": CONTAINER,
        "image": main["image"],
        "command": ["python3", "-m", MODULE],
        "args": arguments,
        "env": credentials_of(main),
        "resources": main.get("resources", {}),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": 1,
            "template": {
                # A proxy beside the trial would outlive it.
                "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
                    "containers": [container],
                },
            },
        },
    }
