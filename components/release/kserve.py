"""Release on a cluster: traffic moves by steps, and back when a step breaks a bound."""

from shipway.components.lib.cluster import Cluster
from shipway.components.lib.decision import Rule
from shipway.components.lib.endpoint import Golden
from shipway.components.lib.errors import ConflictError
from shipway.components.lib.inference_service import DIGEST, VERSION, annotation_of
from shipway.components.lib.model_store import ModelStore
from shipway.components.lib.release_policy import ReleasePolicy
from shipway.components.lib.rollout import Plan, Rollout, open_rollout
from shipway.components.lib.serving_record import ServingRecord
from shipway.components.release.bake import at_stable, bake, settle


def promote_kserve(record: ServingRecord, store: ModelStore, policy: ReleasePolicy) -> list[Rule]:
    """Give a candidate its shares of traffic one after another, up to all of it.

    Returns:
        The rules of each step; the last ones fail when a step did not go well.

    Raises:
        EndpointError: the API refuses, or a move does not come to its end.
    """
    plan = Plan.from_json(record.plan)
    rollout = open_rollout(Cluster(record.namespace), plan)
    golden = Golden.load(store.download(record.model_name, record.version))
    rules: list[Rule] = []
    shares = [] if plan.previous is None or plan.settled else policy.traffic_steps[:-1]
    for share in shares:
        _check_place(rollout, record)
        if share:
            rollout.shift(share)
        rules += bake(record, golden, policy, share, record.version)
        if any(rule.verdict == "fail" for rule in rules):
            return rules
    _check_place(rollout, record)
    rollout.promote()
    stable = at_stable(record)
    wrong = settle(stable)
    if wrong:
        return [*rules, Rule("changed_over", "fail", wrong)]
    told = f"Version {record.version} answers at {record.stable_endpoint}."
    rules.append(Rule("changed_over", "pass", told))
    return rules + bake(stable, golden, policy, 100, record.version)


def _check_place(rollout: Rollout, record: ServingRecord) -> None:
    """Move no traffic of another run's candidate.

    Raises:
        ConflictError: one has taken the place of ours.
    """
    if rollout.is_overtaken():
        raise ConflictError(
            f"Another run has deployed '{record.model_name}' since version {record.version} was: "
            "it goes on alone. Run again after it."
        )


def roll_back_kserve(record: ServingRecord) -> Rule:
    """Give the traffic back to what served before, and prove that it answers.

    Raises:
        EndpointError: the API refuses, or a move does not come to its end.
    """
    if record.champion == record.version:
        told = f"Version {record.version} is the champion, deployed again: it is left as it is."
        return Rule("rollback", "warn", told)
    plan = Plan.from_json(record.plan)
    rollout = open_rollout(Cluster(record.namespace), plan)
    if rollout.is_overtaken():
        told = f"Another run's version stands in the place of version {record.version}: it stays."
        return Rule("rollback", "warn", told)
    rollout.roll_back()
    if plan.previous is None:
        told = f"InferenceService '{plan.name}' is removed: nothing served before."
        return Rule("rollback", "warn", told)
    version = annotation_of(plan.previous, VERSION)
    wrong = settle(at_stable(record, annotation_of(plan.previous, DIGEST)))
    if wrong:
        return Rule("rollback", "fail", f"Version {version} has the traffic again, but {wrong}")
    return Rule("rollback", "warn", f"Version {version} answers again at {record.stable_endpoint}.")
