"""Release: the candidate takes over step by step, or nothing changes. Fail-closed."""

import logging
from pathlib import Path

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.endpoint import Golden
from shipway.components.lib.errors import ConflictError, ShipwayError
from shipway.components.lib.model_store import ModelStore, open_store
from shipway.components.lib.release_policy import ReleasePolicy
from shipway.components.lib.reports import Report
from shipway.components.lib.serving_record import ServingRecord
from shipway.components.release.bake import bake

PROMOTED, ROLLED_BACK = "promoted", "rolled_back"
_log = logging.getLogger(__name__)


def release(
    record_path: Path,
    probe_path: Path,
    decision_path: Path,
    report_path: Path,
    model_name: str,
    model_store: str,
    policy: ReleasePolicy | None = None,
) -> str:
    """Promote or roll back a candidate.

    The endpoint changes over first and the champion's pointer last: an interruption between the two
    leaves a proven version serving, and running again completes it.

    Args:
        record_path: serving record of the candidate.
        probe_path: what its probe decided.
        decision_path: for the decision, JSON.
        report_path: for the page, HTML.
        model_name: of the model.
        model_store: URI of the store.
        policy: how it takes over; by default at once.

    Returns:
        "promoted" or "rolled_back"; the reasons are in the decision.

    Raises:
        EndpointError: the serving record cannot be read, or the traffic cannot be given back.
        StoreError: the model store cannot be opened.
    """
    record = ServingRecord.load(record_path)
    store = open_store(model_store)
    decision = Decision("release", f"{model_name} version {record.version}")
    decision.rules.append(_probe_rule(probe_path, record))
    if decision.verdict == "pass":
        decision.rules += _take_over(record, store, model_store, policy or ReleasePolicy())
    outcome = PROMOTED if decision.verdict == "pass" else ROLLED_BACK
    reason = (decision.failures or decision.rules)[-1].sentence
    try:
        if outcome == ROLLED_BACK:
            decision.rules += _roll_back(record, model_store)
    finally:
        decision.save(decision_path)
        _write_page(report_path, decision, outcome)
    _log.info("%s version %s: %s. %s", model_name, record.version, outcome, reason)
    return outcome


def _write_page(path: Path, decision: Decision, outcome: str) -> None:
    released = outcome == PROMOTED
    done = "is released and has all traffic" if released else "was not released"
    lead = f"{'Yes' if released else 'No'}. {decision.subject} {done}."
    reasons = [rule.sentence for rule in decision.failures]
    page = Report("Does this version serve?", lead, outcome, reasons)
    page.add_decision(decision)
    page.save(path)


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


def _take_over(
    record: ServingRecord, store: ModelStore, model_store: str, policy: ReleasePolicy
) -> list[Rule]:
    """Change over, then move the champion's pointer; the rules of both."""
    name, version = record.model_name, record.version
    rules: list[Rule] = []
    try:
        _check_champion(record, store)
        if record.target == "kserve":
            from shipway.components.release.kserve import promote_kserve

            rules = promote_kserve(record, store, policy)
        else:
            golden = Golden.load(store.download(name, version))
            rules = bake(record, golden, policy, 0, version)
        if any(rule.verdict == "fail" for rule in rules):
            return rules
        if record.target == "kserve":
            store.promote(name, version, record.champion or None, record.stable_endpoint)
        else:
            from shipway.components.release.local import promote_local

            promote_local(record, store, model_store)
    except ShipwayError as error:
        return [*rules, Rule("promotion", "fail", f"The candidate is not released: {error}")]
    return [*rules, Rule("promotion", "pass", f"Version {version} is the champion and answers.")]


def _check_champion(record: ServingRecord, store: ModelStore) -> None:
    """Move no traffic for a candidate that another's promotion has overtaken.

    Raises:
        ConflictError: the champion is neither the one of the deployment nor the candidate.
    """
    champion = store.champion(record.model_name)
    version = champion.version if champion else ""
    if version not in (record.champion, record.version):
        raise ConflictError(
            f"The champion of '{record.model_name}' is version {version or 'none'}, not "
            f"{record.champion or 'none'} as at the deployment: somebody else promoted. Run again "
            "to be measured against the new champion."
        )


def _roll_back(record: ServingRecord, model_store: str) -> list[Rule]:
    if record.target == "kserve":
        from shipway.components.release.kserve import roll_back_kserve

        return [roll_back_kserve(record)]
    from shipway.components.release.local import roll_back_local

    roll_back_local(record.model_name, model_store)
    return []
