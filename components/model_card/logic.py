"""Write a model card of the evidence of one run: nothing in it is typed by hand but the owner's."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shipway.components.lib.decision import Decision
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.files import sha256_of, write_json_aside, write_text_aside
from shipway.components.lib.model_package import load_manifest
from shipway.components.lib.signature import Signature
from shipway.components.model_card.controls import NOT_EVIDENCED, mapped
from shipway.components.model_card.limits import limits_of
from shipway.components.model_card.owner import read_owner
from shipway.components.model_card.rendering import as_markdown, as_report
from shipway.components.model_card.sections import sections_of

logger = logging.getLogger(__name__)

FORMAT = 1
PARTS = ("baselines", "fairness", "regions", "robustness", "stability", "cost")
STEPS = {
    "data_decision": "decision of the data gate",
    "leakage_decision": "decision of the leakage gate",
    "evaluation": "evaluation",
    "explanation": "explanation",
    "decision": "decision of the model gate",
}


def write_card(
    model: Path,
    files: Mapping[str, Path],
    dataset: Mapping[str, Any],
    owner_uri: str = "",
    *,
    card: Path,
    report: Path,
    markdown: Path,
) -> dict[str, str | float]:
    """Write the card as JSON, as a page and as Markdown.

    Args:
        model: directory of the model package.
        files: data_decision, leakage_decision, evaluation, explanation and decision.
        dataset: metadata of the table that the model came of.
        owner_uri: path, URI or text of the owner's file.
        card: JSON file to write.
        report: HTML page to write.
        markdown: Markdown file to write.

    Returns:
        Flat metadata of the card.

    Raises:
        ConfigurationError: the evidence is of different models, or a file cannot be read.
        ModelPackageError: the package cannot be read.
    """
    owner = read_owner(owner_uri)
    manifest = load_manifest(model)
    signature = Signature.from_json(_json(model / "signature.json"))
    digest = sha256_of(model / "manifest.json")
    evaluation, explanation = _json(files["evaluation"]), _json(files["explanation"])
    for name, told in (("evaluation", evaluation), ("explanation", explanation)):
        if told.get("digest") != digest:
            raise ConfigurationError(
                f"The {name} is of model {str(told.get('digest'))[:12]}, not of {digest[:12]}. "
                "A card is written of one run: pass the artifacts of the same model."
            )
    gates = {
        name: _decided(Decision.load(files[name]))
        for name in ("data_decision", "leakage_decision", "decision")
    }
    controls = mapped(_evidence(files, evaluation, owner, dataset, digest))
    document: dict[str, Any] = {
        "format": FORMAT,
        "model": _identity(signature, manifest, digest),
        "owner": owner,
        "gates": gates,
        "data": {**manifest.get("data", {}), "dataset": _plain(dataset)},
        "evaluation": evaluation,
        "explanation": {k: explanation[k] for k in ("rows", "columns", "summary", "interactions")},
        "limits": limits_of(evaluation, gates["decision"]),
        "controls": controls,
        "evidence": {name: sha256_of(path) for name, path in files.items()},
    }
    sections = sections_of(document)
    as_report(document, sections).save(report)
    write_text_aside(markdown, as_markdown(document, sections))
    write_json_aside(card, document)
    shown = sum(row["evidence"] != NOT_EVIDENCED for row in controls)
    logger.info("%d of %d controls are evidenced by this run.", shown, len(controls))
    return {
        "digest": digest,
        "verdict": gates["decision"]["verdict"],
        "controls_evidenced": float(shown),
        "controls": float(len(controls)),
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"'{path}' cannot be read as JSON ({error}); run the step that writes it again."
        ) from error


def _decided(decision: Decision) -> dict[str, Any]:
    return {
        "gate": decision.gate,
        "verdict": decision.verdict,
        "rules": len(decision.rules),
        "failures": [rule.sentence for rule in decision.failures],
        "warnings": [rule.sentence for rule in decision.warnings],
    }


def _identity(signature: Signature, manifest: Mapping[str, Any], digest: str) -> dict[str, Any]:
    return {
        "name": signature.name,
        "digest": digest,
        "task": signature.task,
        "label": signature.label,
        "classes": list(signature.classes),
        "positive_class": signature.positive_class,
        "threshold": signature.threshold,
        "calibration": signature.calibrator.get("method", "none"),
        "inputs": [feature.name for feature in signature.features],
        "unused": list(signature.ignored),
        "created": manifest.get("created", ""),
        "code_version": manifest.get("code_version", ""),
        "image": manifest.get("image", ""),
        "libraries": manifest.get("libraries", {}),
        "parameters": manifest.get("parameters", {}),
        "rounds": manifest.get("rounds"),
        "seed": manifest.get("seed"),
    }


def _evidence(
    files: Mapping[str, Path],
    evaluation: Mapping[str, Any],
    owner: Mapping[str, list[str]],
    dataset: Mapping[str, Any],
    digest: str,
) -> dict[str, str]:
    """Where each piece of evidence stands: an artifact with its hash, or the owner's file."""
    found = {name: f"{STEPS[name]} ({sha256_of(path)[:12]})" for name, path in files.items()}
    for part in PARTS:
        if evaluation.get(part):
            found[part] = f"evaluation, {part} ({sha256_of(files['evaluation'])[:12]})"
    if "linear" not in evaluation.get("baselines", {}):
        found.pop("baselines", None)
    if not (evaluation.get("regions") or {}).get("proposed"):
        found.pop("regions", None)
    found["model"] = found["plan"] = f"model package ({digest[:12]})"
    if dataset.get("sha256"):
        found["dataset"] = f"dataset ({str(dataset['sha256'])[:12]})"
    source = next((dataset[key] for key in ("source", "source_uri", "uri") if dataset.get(key)), "")
    if source:
        found["source"] = f"dataset, source {source}"
    return found | {field: "owner's file" for field in owner}


def _plain(metadata: Mapping[str, Any]) -> dict[str, str | float]:
    return {
        str(key): value if isinstance(value, int | float) else str(value)
        for key, value in metadata.items()
        if key != "display_name"
    }
