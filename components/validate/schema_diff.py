"""What changed from one schema to another, column by column and in words."""

from typing import Any

from shipway.components.lib.schema_file import TAG
from shipway.components.validate.schema_check import feature_type

WORDS = {
    "type": "type",
    "presence.min_fraction": "least share of rows with a value",
    "presence.min_count": "least number of rows with a value",
    "int_domain.min": "smallest value allowed",
    "int_domain.max": "largest value allowed",
    "float_domain.min": "smallest value allowed",
    "float_domain.max": "largest value allowed",
    "distribution_constraints.min_domain_mass": "least share of values inside the domain",
    "drift_comparator.infinity_norm.threshold": "drift bound (L-infinity)",
    "drift_comparator.jensen_shannon_divergence.threshold": "drift bound (Jensen-Shannon)",
    "skew_comparator.infinity_norm.threshold": "skew bound (L-infinity)",
    "skew_comparator.jensen_shannon_divergence.threshold": "skew bound (Jensen-Shannon)",
    "unique_constraints.min": "least number of different values",
    "unique_constraints.max": "largest number of different values",
    "not_in_environment": "left out of the environments",
    "in_environment": "only in the environments",
    "lifecycle_stage": "stage of life",
    "kind": "kind",
    "values": "values",
    "dataset_constraints.min_examples_count": "least number of rows",
    "dataset_constraints.max_examples_count": "largest number of rows",
    "default_environment": "environments",
}
TABLE = "the table"
SHOWN = 8


def schema_diff(old: Any, new: Any) -> list[tuple[str, str]]:
    """What changed: pairs of a column, or "the table", and a sentence.

    Args:
        old: a TFDV Schema.
        new: another.
    """
    changes = _changes(TABLE, _table(old), _table(new))
    before = {feature.name: feature for feature in old.feature}
    after = {feature.name: feature for feature in new.feature}
    for name in [*after, *(name for name in before if name not in after)]:
        if name not in before:
            changes.append((name, f"new, of the type {feature_type(after[name])}"))
        elif name not in after:
            changes.append((name, f"gone; it was of the type {feature_type(before[name])}"))
        else:
            changes += _changes(name, _column(old, before[name]), _column(new, after[name]))
    return changes


def _changes(subject: str, old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for path in sorted({*old, *new}):
        before, after = old.get(path), new.get(path)
        if before == after:
            continue
        word = WORDS.get(path, path)
        if isinstance(before or after, list):
            found += [(subject, said) for said in _sets(word, before or [], after or [])]
        elif before is None:
            found.append((subject, f"{word}: none before, {_shown(after)} now"))
        elif after is None:
            found.append((subject, f"{word}: {_shown(before)} before, none now"))
        else:
            found.append((subject, f"{word}: {_shown(before)} before, {_shown(after)} now"))
    return found


def _sets(word: str, before: list[Any], after: list[Any]) -> list[str]:
    added = [one for one in after if one not in set(before)]
    removed = [one for one in before if one not in set(after)]
    said = [f"{word} added: {_listed(added)}"] if added else []
    said += [f"{word} removed: {_listed(removed)}"] if removed else []
    return said or [f"{word}: in another order"]


def _listed(values: list[Any]) -> str:
    more = f" and {len(values) - SHOWN:,} more" if len(values) > SHOWN else ""
    return ", ".join(_shown(value) for value in values[:SHOWN]) + more


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else f"{value:.12g}"


def _table(schema: Any) -> dict[str, Any]:
    plain = type(schema)()
    plain.CopyFrom(schema)
    plain.ClearField("feature")
    plain.ClearField("string_domain")
    return _flat(plain)


def _column(schema: Any, feature: Any) -> dict[str, Any]:
    plain = type(feature)()
    plain.CopyFrom(feature)
    for name in ("name", "type", "domain", "string_domain", "annotation"):
        plain.ClearField(name)
    found = {"type": feature_type(feature), **_flat(plain)}
    values = list(feature.string_domain.value)
    for domain in schema.string_domain:
        if domain.name == feature.domain:
            values = list(domain.value)
    if values:
        found["values"] = values
    tags = list(feature.annotation.tag)
    kinds = [tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)]
    if kinds:
        found["kind"] = kinds[-1]
    others = [tag for tag in tags if not tag.startswith(TAG)]
    return found | ({"annotation.tag": others} if others else {})


def _flat(message: Any, prefix: str = "") -> dict[str, Any]:
    """The fields that are set, by path."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if isinstance(value, str | int | float | bool):
            named = field.enum_type and field.enum_type.values_by_number[value].name
            found[path] = named or value
        elif hasattr(value, "ListFields"):
            found |= _flat(value, f"{path}.") or {path: "set"}
        else:
            found[path] = [one if isinstance(one, str | int | float) else str(one) for one in value]
    return found
