"""Release: the candidate takes over, or nothing changes. Fail-closed."""

import logging
from pathlib import Path

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import ShipwayError
from shipway.components.lib.model_store import ModelStore, open_store
from shipway.components.lib.serving import ServingRecord

PROMOTED, ROLLED_BACK = "promoted", "rolled_back"
_log = logging.getLogger(__name__)


def release(
    record_path: Path, probe_path: Path, decision_path: Path, model_name: str, model_store: str
) -> str:
    """Promote or roll back a candidate.

    The endpoint switches first and the champion's pointer last: an interruption between the two
    leaves a proven version serving, and running again completes it.

    Returns:
        "promoted" or "rolled_back"; the reasons are in the decision.

    Raises:
        EndpointError: the serving record cannot be read, so that nothing can be said.
        StoreError: the model store cannot be opened.
    """
    record = ServingRecord.load(record_path)
    store = open_store(model_store)
    probe = _probe_rule(probe_path, record)
    rules = [probe]
    if probe.verdict == "pass":
        rules.append(_promote(record, store, model_name, model_store))
    decision = Decision("release", f"{model_name} version {record.version}", rules)
    if decision.verdict != "pass":
        _roll_back(record, model_name, model_store)
    decision.save(decision_path)
    outcome = PROMOTED if decision.verdict == "pass" else ROLLED_BACK
    _log.info("%s version %s: %s. %s", model_name, record.version, outcome, rules[-1].sentence)
    return outcome


def _probe_rule(path: Path, record: ServingRecord) -> Rule:
    try:
        probe = Decision.load(path)
    except ShipwayError as error:
        return Rule("probe", "fail", f"The probe's decision cannot be read: {error}")
    if probe.gate != "endpoint":
        return Rule("probe", "fail", f"The decision is of the gate '{probe.gate}', not a probe's.")
    if probe.verdict != "pass":
        reasons = " ".join(rule.sentence for rule in probe.failures) or "It holds no rule."
        return Rule("probe", "fail", f"The candidate is not released: {reasons}")
    return Rule("probe", "pass", f"The probe of version {record.version} passed.")


def _promote(record: ServingRecord, store: ModelStore, model_name: str, model_store: str) -> Rule:
    try:
        if record.target == "local":
            from shipway.components.release.local import promote_local

            promote_local(record, store, model_store)
        else:
            store.promote(model_name, record.version, record.champion or None)
    except ShipwayError as error:
        return Rule("promotion", "fail", f"The candidate is not released: {error}")
    return Rule("promotion", "pass", f"Version {record.version} is the champion and answers.")


def _roll_back(record: ServingRecord, model_name: str, model_store: str) -> None:
    if record.target == "local":
        from shipway.components.release.local import roll_back_local

        roll_back_local(model_name, model_store)
    else:
        from shipway.components.release.kserve import roll_back_kserve

        roll_back_kserve(record)
