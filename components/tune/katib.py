"""A search by Katib: its trials are pods, and its best ones come back as trials of Optuna.

The Experiment's name comes from what is searched and from the step's output: a step that is tried
again finds the Experiment of its first try, and goes on waiting.
"""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from threading import Event
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from shipway.components.lib.access import check_tuning_access
from shipway.components.lib.cluster import Cluster, own_namespace
from shipway.components.lib.errors import ConfigurationError, EndpointError
from shipway.components.lib.own_pod import on_cluster, own_pod
from shipway.components.lib.storage import scheme_of, store_uri
from shipway.components.tune.experiment import FACTS, METRIC, manifest
from shipway.components.tune.layout import Layout
from shipway.components.tune.request import Request
from shipway.components.tune.space import Space, rounded

KIND = "Experiment"
LABEL = "katib.kubeflow.org/experiment"
POLL_SECONDS = 10.0
_log = logging.getLogger(__name__)

Object = dict[str, Any]


def check_cluster(places: Mapping[str, str]) -> None:
    """Refuse a search by Katib where no pod could read the tables.

    Raises:
        ConfigurationError: this is no pod of Kubeflow Pipelines, or a table is a file.
    """
    files = [uri for uri in places.values() if scheme_of(uri) == "file"]
    if on_cluster() and not files:
        return
    why = f"they cannot read '{files[0]}'" if files else "this is no pod of Kubeflow Pipelines"
    raise ConfigurationError(
        f"tuner=katib runs trials as pods of a cluster, and {why}. Run the pipeline on a cluster "
        "with Katib, or take tuner=optuna, which searches within the step."
    )


def search_on_cluster(
    layout: Layout,
    request: Request,
    places: Mapping[str, str],
    deadline: float,
    stop: Event,
) -> optuna.Study:
    """Search until Katib has ended, the time is over, or the step is told to end.

    Args:
        layout: what trials see.
        request: what is tuned, and the budgets.
        places: URIs of train, validation, plan and study.
        deadline: on the monotonic clock.
        stop: set when the step is told to end.

    Raises:
        ConfigurationError: a right is missing; the message holds it.
        EndpointError: the API refuses, or the search failed before a trial succeeded.
    """
    cluster = Cluster(own_namespace(""))
    check_tuning_access(cluster)
    tables = {name: store_uri(places[name]) for name in ("train", "validation", "plan")}
    text = repr((sorted(places.items()), request))
    name = f"shipway-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if cluster.get(KIND, name) is None:
        cluster.apply(manifest(name, layout.space, request, tables, own_pod(cluster)))
    _log.info("%s '%s' searches", KIND, name)
    experiment = _ended(cluster, name, deadline, stop)
    status = experiment.get("status", {})
    failed = _condition(experiment, "Failed")
    best = status.get("currentOptimalTrial", {})
    trials = [best] if best.get("bestTrialName") else []
    for one in cluster.find("Trial", f"{LABEL}={name}"):
        observation = one.get("status", {}).get("observation")
        first = one["metadata"]["name"] == best.get("bestTrialName")
        if not first and observation and _condition(one, "Succeeded"):
            assignments = one["spec"]["parameterAssignments"]
            trials.append({"parameterAssignments": assignments, "observation": observation})
    cluster.delete(KIND, name)
    if failed and not trials:
        raise EndpointError(
            f"{KIND} '{name}' failed before a trial succeeded: {failed.get('message', '')} Read "
            "the log of a trial's pod, and see that the namespace is labelled for Katib's metrics "
            "collector (manifests/components/tuning)."
        )
    study = optuna.create_study()
    study.add_trials([_trial(one, layout.space) for one in trials])
    return study


def _ended(cluster: Cluster, name: str, deadline: float, stop: Event) -> Object:
    while True:
        experiment = cluster.get(KIND, name)
        if experiment is None:
            raise EndpointError(f"{KIND} '{name}' was deleted while it ran. Run the step again.")
        ended = _condition(experiment, "Succeeded") or _condition(experiment, "Failed")
        left = deadline - time.monotonic()
        if ended or left <= 0 or stop.wait(min(POLL_SECONDS, left)):
            return experiment


def _condition(found: Object, kind: str) -> Object | None:
    conditions = found.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)


def _trial(one: Object, space: Space) -> FrozenTrial:
    """A trial of Katib, whose values are texts."""
    assigned = {a["name"]: float(a["value"]) for a in one["parameterAssignments"]}
    parameters = rounded(assigned, space)
    texts = {"parameters": json.dumps(parameters)}
    found = {metric["name"]: float(metric["latest"]) for metric in one["observation"]["metrics"]}
    facts: Object = {fact: found[fact] for fact in FACTS if fact in found}
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE,
        value=found[METRIC],
        params=parameters,
        distributions={name: _distribution(space, name) for name in parameters},
        user_attrs=facts | texts,
    )


def _distribution(space: Space, name: str) -> BaseDistribution:
    one = space.ranges[name]
    if one.whole:
        return IntDistribution(int(one.low), int(one.high))
    return FloatDistribution(one.low, one.high, log=one.log)
