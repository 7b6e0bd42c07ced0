"""The KFP face of the model card."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Model, Output

from shipway.components.lib.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def write_model_card(
    model: Input[Model],
    dataset: Input[Dataset],
    data_decision: Input[Artifact],
    leakage_decision: Input[Artifact],
    evaluation: Input[Artifact],
    explanation: Input[Artifact],
    decision: Input[Artifact],
    card: Output[Artifact],
    report: Output[HTML],
    markdown: Output[Markdown],
    owner_uri: str = "",
) -> None:
    """Write the model card of evidence alone: HTML, Markdown and JSON.

    Args:
        model: Model package.
        dataset: The table that was split into training and test rows.
        data_decision: Decision of the data gate.
        leakage_decision: Decision of the leakage gate.
        evaluation: Evaluation of the model.
        explanation: Explanation of the model.
        decision: Decision of the model gate.
        card: The card as JSON.
        report: The card as a page.
        markdown: The card as Markdown.
        owner_uri: YAML file with owner, intended use and limits, or its text.
    """
    from pathlib import Path

    from shipway.components.model_card.logic import write_card

    evidence = {
        "data_decision": data_decision,
        "leakage_decision": leakage_decision,
        "evaluation": evaluation,
        "explanation": explanation,
        "decision": decision,
    }
    found = write_card(
        Path(model.path),
        {name: Path(artifact.path) for name, artifact in evidence.items()},
        dict(dataset.metadata),
        owner_uri,
        card=Path(card.path),
        report=Path(report.path),
        markdown=Path(markdown.path),
    )
    card.metadata.update(found)
