"""The owner's file: what no run can know, such as who answers for a model and what it is for."""

from typing import Any

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.settings_file import read_settings

FIELDS = {
    "owner": "Who answers for the model",
    "contact": "How to reach them",
    "license": "License",
    "intended_use": "What it is for",
    "users": "Who uses it",
    "out_of_scope": "What it must not be used for",
    "limits": "Known limits",
    "ethical_considerations": "Ethical considerations",
    "impact_assessment": "Assessment of its impact on people",
    "policy": "The policy that it is made under",
    "requirements": "What it must do, and by which law or contract",
    "monitoring_plan": "How it is watched in production",
    "incident_plan": "What happens when it fails",
}


def read_owner(uri: str) -> dict[str, list[str]]:
    """Read the owner's file, or its text; empty where there is none.

    Args:
        uri: a path or URI of one YAML file; or the YAML itself, which has more than one line.

    Returns:
        Statements by field.

    Raises:
        ConfigurationError: it is no YAML mapping, or a field is unknown or holds no text.
        DataError: the file cannot be read.
    """
    value = read_settings("owner_uri", uri, list(FIELDS))
    return {str(field): _statements(str(field), told) for field, told in value.items()}


def _statements(field: str, told: Any) -> list[str]:
    lines = told if isinstance(told, list) else [told]
    for line in lines:
        if not isinstance(line, str) or not line.strip():
            raise ConfigurationError(
                f"owner_uri: '{field}' holds {line!r}; write text, or a list of texts."
            )
    return [" ".join(line.split()) for line in lines]
