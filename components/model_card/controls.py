"""Which evidence of a run speaks for which control of the NIST AI RMF and of ISO/IEC 42001.

NIST AI 100-1, "Artificial Intelligence Risk Management Framework (AI RMF 1.0)", 2023, by the
subcategories of its four functions; ISO/IEC 42001:2023, by the controls of annex A. The words are
ours. A run evidences what it measured or what the owner's file states: never that a control is
fulfilled, which people judge. What nothing speaks for is told as not evidenced.
"""

from collections.abc import Mapping
from dataclasses import dataclass

NOT_EVIDENCED = "not evidenced"


@dataclass(frozen=True)
class Control:
    """A control, in our words, and the pieces of evidence that speak for it, all of them needed."""

    framework: str
    number: str
    words: str
    needs: tuple[str, ...] = ()


NIST, ISO = "NIST AI RMF 1.0", "ISO/IEC 42001:2023"
CONTROLS = (
    Control(NIST, "GOVERN 1.1", "Laws and rules that apply are known", ("requirements",)),
    Control(NIST, "GOVERN 1.4", "Risk is handled by a stated process", ("policy", "decision")),
    Control(NIST, "GOVERN 1.5", "Ongoing review is planned", ("monitoring_plan",)),
    Control(NIST, "GOVERN 2.1", "Roles are assigned", ("owner", "contact")),
    Control(
        NIST,
        "GOVERN 4.3",
        "Testing and incident identification are practised",
        ("evaluation", "incident_plan"),
    ),
    Control(NIST, "GOVERN 6.1", "Risks of third parties are addressed", ()),
    Control(
        NIST, "MAP 1.1", "Purpose, users and setting are documented", ("intended_use", "users")
    ),
    Control(NIST, "MAP 1.6", "Requirements are gathered", ("requirements",)),
    Control(NIST, "MAP 2.1", "The task and the method are defined", ("model",)),
    Control(
        NIST, "MAP 2.2", "Limits of what the system knows are documented", ("limits", "evaluation")
    ),
    Control(
        NIST,
        "MAP 2.3",
        "Test design and data selection are documented",
        ("data_decision", "leakage_decision", "evaluation"),
    ),
    Control(NIST, "MAP 3.3", "The scope of use is stated", ("intended_use", "out_of_scope")),
    Control(NIST, "MAP 5.1", "Impacts on people are estimated", ("impact_assessment",)),
    Control(NIST, "MEASURE 1.1", "Metrics are chosen for the risks", ("evaluation", "decision")),
    Control(
        NIST,
        "MEASURE 2.1",
        "Test sets, metrics and tools are documented",
        ("evaluation", "dataset"),
    ),
    Control(NIST, "MEASURE 2.3", "Performance is measured for the setting of use", ("evaluation",)),
    Control(NIST, "MEASURE 2.4", "Behaviour in production is watched", ("monitoring_plan",)),
    Control(
        NIST,
        "MEASURE 2.5",
        "Validity is shown, limits of generality told",
        ("baselines", "regions", "decision"),
    ),
    Control(NIST, "MEASURE 2.6", "Safety is evaluated", ()),
    Control(NIST, "MEASURE 2.7", "Resilience is evaluated", ("robustness",)),
    Control(
        NIST,
        "MEASURE 2.8",
        "Transparency and accountability are examined",
        ("explanation", "owner"),
    ),
    Control(
        NIST, "MEASURE 2.9", "The model is explained and its output interpreted", ("explanation",)
    ),
    Control(NIST, "MEASURE 2.10", "Privacy risk is examined", ()),
    Control(NIST, "MEASURE 2.11", "Fairness and bias are evaluated", ("fairness",)),
    Control(NIST, "MEASURE 2.12", "Environmental impact is assessed", ()),
    Control(NIST, "MEASURE 3.1", "Risks are tracked over time", ("stability", "monitoring_plan")),
    Control(NIST, "MANAGE 1.1", "Whether to deploy is decided", ("decision",)),
    Control(NIST, "MANAGE 1.4", "Remaining risks are documented", ("decision", "limits")),
    Control(NIST, "MANAGE 2.4", "The system can be taken back", ("incident_plan",)),
    Control(NIST, "MANAGE 4.1", "Monitoring after deployment is planned", ("monitoring_plan",)),
    Control(NIST, "MANAGE 4.3", "Incidents are communicated", ("incident_plan", "contact")),
    Control(ISO, "A.2.2", "There is an AI policy", ("policy",)),
    Control(ISO, "A.3.2", "Roles and responsibilities", ("owner", "contact")),
    Control(ISO, "A.4.3", "Data resources are documented", ("dataset",)),
    Control(ISO, "A.4.4", "Tools are documented", ("model",)),
    Control(ISO, "A.4.5", "Computing resources are documented", ("cost",)),
    Control(ISO, "A.4.6", "Human resources are documented", ()),
    Control(ISO, "A.5.2", "Impact is assessed by a process", ("impact_assessment", "policy")),
    Control(
        ISO, "A.5.4", "Impact on persons and groups is assessed", ("impact_assessment", "fairness")
    ),
    Control(ISO, "A.6.2.2", "Requirements and specification", ("requirements",)),
    Control(ISO, "A.6.2.3", "Design and development are documented", ("model", "explanation")),
    Control(ISO, "A.6.2.4", "Verification and validation", ("evaluation", "decision")),
    Control(ISO, "A.6.2.5", "Deployment is planned", ("decision",)),
    Control(ISO, "A.6.2.6", "Operation and monitoring", ("monitoring_plan",)),
    Control(ISO, "A.6.2.7", "Technical documentation", ("model", "evaluation", "explanation")),
    Control(ISO, "A.6.2.8", "Event logs are recorded", ()),
    Control(ISO, "A.7.2", "Data for development are managed", ("dataset", "leakage_decision")),
    Control(ISO, "A.7.3", "Acquisition of data is documented", ("source",)),
    Control(ISO, "A.7.4", "Quality of data is held to criteria", ("data_decision",)),
    Control(ISO, "A.7.5", "Provenance of data is recorded", ("source", "dataset")),
    Control(ISO, "A.7.6", "Preparation of data is documented", ("plan",)),
    Control(ISO, "A.8.2", "Information for users", ("intended_use", "limits", "contact")),
    Control(ISO, "A.8.4", "Incidents are communicated", ("incident_plan",)),
    Control(ISO, "A.9.4", "Use as intended", ("intended_use", "out_of_scope")),
    Control(ISO, "A.10.3", "Suppliers are managed", ()),
)


def mapped(evidence: Mapping[str, str]) -> list[dict[str, str]]:
    """Each control with what speaks for it.

    Args:
        evidence: where each piece of evidence stands, by its name; absent where there is none.

    Returns:
        A JSON object a control: framework, control, words, evidence, and lacking: the pieces that
        are absent. A control of which a piece is absent is not evidenced.
    """
    rows = []
    for control in CONTROLS:
        lacking = [need for need in control.needs if need not in evidence]
        shown = bool(control.needs) and not lacking
        said = "; ".join(dict.fromkeys(evidence[need] for need in control.needs)) if shown else ""
        rows.append(
            {
                "framework": control.framework,
                "control": control.number,
                "words": control.words,
                "evidence": said or NOT_EVIDENCED,
                "lacking": ", ".join(lacking),
            }
        )
    return rows
