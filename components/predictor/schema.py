"""The columns of a request, from the signature of a model package."""

from dataclasses import asdict

from shipway.components.lib.signature import Signature
from shipway.components.predictor.columns import InputColumn, Schema

DETAILS = ("kind", "minimum", "maximum", "categories")


def schema_of(signature: Signature) -> Schema:
    """The raw columns that a model takes, in the order of list rows."""
    columns = []
    for feature in signature.features:
        described = asdict(feature)
        details = {name: described[name] for name in DETAILS if described[name] not in (None, [])}
        if feature.dtype == "number" and feature.categories:
            details["categories"] = list(map(int, feature.categories))
        columns.append(
            InputColumn(
                name=feature.name,
                dtype=feature.dtype,
                kind=feature.kind,
                nullable=feature.nullable,
                details=details,
            )
        )
    return Schema(columns, signature.ignored)
