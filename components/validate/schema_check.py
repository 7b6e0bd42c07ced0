"""What a given schema may not say: TFDV would ignore it, or report every table."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.schema_file import TAG, known_kind


def check_schema(schema: Any, what: str) -> None:
    """Refuse a schema that does not do what it says.

    Args:
        schema: a TFDV Schema.
        what: names it in messages.

    Raises:
        ConfigurationError: with every reason, by column.
    """
    faults = [fault for feature in schema.feature for fault in _faults(schema, feature)]
    for name, count in Counter(feature.name for feature in schema.feature).items():
        if count > 1:
            faults.append(f"Column '{name}' stands there {count} times; keep one.")
    if faults:
        more = f" ... and {len(faults) - 10:,} more." if len(faults) > 10 else ""
        raise ConfigurationError(f"{what} cannot be used. {' '.join(faults[:10])}{more}")
    for feature in schema.feature:
        for tag in feature.annotation.tag:
            if tag.startswith(TAG):
                known_kind(feature.name, tag.removeprefix(TAG))


def feature_type(feature: Any) -> str:
    """The type of a column in a schema: "INT", "FLOAT", "BYTES", ..."""
    types = feature.DESCRIPTOR.fields_by_name["type"].enum_type
    return str(types.values_by_number[feature.type].name)


def is_numeric(feature: Any) -> bool:
    """Whether TFDV measures a column as numbers."""
    named = feature.HasField("int_domain") and feature.int_domain.is_categorical
    return feature_type(feature) in ("INT", "FLOAT") and not named


def _faults(schema: Any, feature: Any) -> Iterator[str]:
    column = f"Column '{feature.name}'"
    for place in ("drift_comparator", "skew_comparator"):
        comparator = getattr(feature, place)
        for bound in ("infinity_norm", "normalized_abs_difference"):
            if comparator.HasField(bound) and is_numeric(feature):
                yield (
                    f"{column} is a number, and its {place} has {bound}, which compares the shares "
                    "of categories: TFDV ignores it on numbers without a word. Use "
                    "jensen_shannon_divergence."
                )
    unique = feature.unique_constraints
    if feature.HasField("unique_constraints") and unique.min > unique.max:
        yield (
            f"{column} has unique_constraints from {unique.min} to {unique.max}: a maximum that is "
            "left out counts as 0, so every table would fail. Set both."
        )
    for domain in ("int_domain", "float_domain"):
        bounds = getattr(feature, domain)
        given = feature.HasField(domain) and bounds.HasField("min") and bounds.HasField("max")
        if given and bounds.min > bounds.max:
            yield f"{column} has a range from {bounds.min:g} to {bounds.max:g}; exchange them."
    domains = [domain.name for domain in schema.string_domain]
    if feature.HasField("domain") and feature.domain not in domains:
        yield (
            f"{column} names the domain '{feature.domain}', which the schema does not have."
            f"{nearest(feature.domain, domains)} Add it, or correct the name."
        )
    if not feature.name:
        yield "A column has no name; give it one."
