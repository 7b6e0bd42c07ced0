"""What deserves a look when a person reviews a schema."""

from collections.abc import Iterator
from typing import Any

from shipway.components.lib.schema_file import TAG
from shipway.components.validate.schema_check import feature_type, is_numeric

FREE = ("identifier", "free text", "date")


def remarks(schema: Any) -> list[tuple[str, str]]:
    """Pairs of a column, or "the table", and a sentence."""
    found = list(_of_table(schema))
    for feature in schema.feature:
        found += [(feature.name, said) for said in _of_column(feature)]
    return found


def _of_table(schema: Any) -> Iterator[tuple[str, str]]:
    if "SERVING" not in schema.default_environment:
        yield "the table", "has no environment SERVING: requests cannot be held to this schema"
    elif not any("SERVING" in feature.not_in_environment for feature in schema.feature):
        yield "the table", "expects every column in SERVING, so also the label"
    if not schema.dataset_constraints.HasField("min_examples_count"):
        yield "the table", "may have any number of rows: dataset_constraints.min_examples_count"


def _of_column(feature: Any) -> Iterator[str]:
    kinds = [tag.removeprefix(TAG) for tag in feature.annotation.tag if tag.startswith(TAG)]
    kind = kinds[-1] if kinds else ""
    if kind in ("identifier", "free text"):
        yield f"is taken for {'an identifier' if kind == 'identifier' else kind}: no feature of it"
    elif kind:
        yield f"is taken for {kind}"
    if feature.presence.min_fraction == 1.0:
        yield "must have a value in every row"
    elif feature.presence.min_fraction < 0.5:
        yield f"may lack a value in {1 - feature.presence.min_fraction:.0%} of the rows"
    domains = ("int_domain", "float_domain", "bool_domain")
    if is_numeric(feature) and kind not in FREE and not any(map(feature.HasField, domains)):
        yield "is a number of any size: give it a range"
    text = feature_type(feature) == "BYTES" and not feature.HasField("domain")
    if text and not feature.HasField("string_domain") and kind not in FREE:
        yield "may hold any text: it had too many values for a list"
    for domain in ("int_domain", "float_domain"):
        if feature.HasField(domain):
            bounds = getattr(feature, domain)
            low = f"{bounds.min:g}" if bounds.HasField("min") else "any"
            high = f"{bounds.max:g}" if bounds.HasField("max") else "any"
            yield f"may be from {low} to {high}"
