"""The schema: read, checked before it is used, and inferred from a table for a review.

What is inferred is a proposal that the table it comes from fits, with room for the next one:

- presence: a column without gaps must stay without; of others, as many rows again may lack it,
  and one in a hundred more.
- categories: their values, of which new ones may make up a hundredth (`min_domain_mass`); of the
  label none.
- ranges: wider than what was seen by a quarter of the span on each side, but not beyond zero where
  all values lie on one side of it, nor beyond 0 and 1 for shares. Times and identifiers move on
  and have none; coordinates have those of the globe.
- drift and skew: Jensen-Shannon divergence for numbers, L-infinity for categories. TFDV ignores an
  L-infinity bound on a number without a word. Identifiers, texts and dates have none: they always
  change.
"""

import math
from typing import Any

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.schema_file import TAG
from shipway.components.validate.facts import ColumnFacts
from shipway.components.validate.schema_check import check_schema, feature_type
from shipway.components.validate.semantics import MAX_DOMAIN, coordinate_range, semantic_kind
from shipway.components.validate.statistics import import_tfdv

TRAINING, SERVING = "TRAINING", "SERVING"
DOMAIN_MASS = 0.99
DIVERGENCE = 0.1
MARGIN = 0.25
WIDEST = 2.0**62  # whole numbers beyond lose digits on the way


def read_schema_file(uri: str) -> tuple[Any, str]:
    """A TFDV Schema from a text proto, and the text as it stands.

    Args:
        uri: a local path or a gs:// URI of one file.

    Raises:
        DataError: there is nothing at the URI.
        ConfigurationError: what is there is not a schema, or says what TFDV would not do.
    """
    from shipway.components.lib.storage import list_objects, open_binary

    found = list_objects(uri)
    if len(found) != 1:
        raise ConfigurationError(
            f"schema_uri '{uri}' names {len(found)} files; name the one schema.pbtxt."
        )
    with open_binary(found[0]) as file:
        content = file.read()
    return parse_schema(content, f"schema_uri '{uri}'")


def parse_schema(content: bytes, what: str) -> tuple[Any, str]:
    """As `read_schema_file`, of what was read.

    Args:
        content: the text proto.
        what: names it in messages.

    Raises:
        ConfigurationError: it is not a schema, or says what TFDV would not do.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        text = content.decode("utf-8")
        schema = text_format.Parse(text, schema_pb2.Schema())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{what} is not a TFDV schema in text form: {error}. Take the schema that "
            "a run wrote, and edit that."
        ) from error
    if not schema.feature:
        raise ConfigurationError(f"{what} describes no column. Take the schema that a run wrote.")
    check_schema(schema, what)
    return schema, text


def write_schema_text(schema: Any) -> str:
    """The schema as a text proto."""
    from google.protobuf import text_format

    return str(text_format.MessageToString(schema))


def infer_schema(statistics: Any, facts: list[ColumnFacts], label: str) -> Any:
    """A schema that the measured table fits, with the environments TRAINING and SERVING.

    The label is expected in TRAINING only, so that requests and payload logs, which have no label,
    can be validated against the same schema.

    Args:
        statistics: TFDV's, of the whole table first.
        facts: of every column.
        label: the column to predict.
    """
    # A fixed shape would report every later null a second time.
    schema = import_tfdv().infer_schema(
        statistics, infer_feature_shape=False, max_string_domain_size=MAX_DOMAIN
    )
    schema.default_environment.extend([TRAINING, SERVING])
    datasets = statistics.datasets
    measured = {f.path.step[0]: f for f in datasets[0].features} if datasets else {}
    known = {fact.name: fact for fact in facts}
    for feature in schema.feature:
        fact = known[feature.name]
        kind = semantic_kind(fact, measured.get(feature.name))
        if kind:
            feature.annotation.tag.append(TAG + kind)
        _presence(feature, fact)
        _values(schema, feature, fact, kind, feature.name == label)
        _comparators(feature, kind, feature.name == label)
        if feature.name == label:
            feature.not_in_environment.append(SERVING)
    return schema


def _presence(feature: Any, fact: ColumnFacts) -> None:
    if 0 < fact.missing < fact.rows:
        allowed = min(1.0, 2 * fact.missing_share + 0.01)
        feature.presence.min_fraction = round(1 - allowed, 4)


def _values(schema: Any, feature: Any, fact: ColumnFacts, kind: str, is_label: bool) -> None:
    if feature.HasField("domain"):
        # A schema is passed around: it must not list what no page may show.
        if is_label or (kind in ("category", "") and not fact.private):
            feature.distribution_constraints.min_domain_mass = 1.0 if is_label else DOMAIN_MASS
            return
        names = [domain.name for domain in schema.string_domain]
        del schema.string_domain[names.index(feature.domain)]
        feature.ClearField("domain")
    bounds = _range(fact, kind)
    if bounds is None or feature.HasField("bool_domain"):
        return
    if feature_type(feature) == "INT":
        feature.int_domain.min, feature.int_domain.max = (round(bound) for bound in bounds)
    else:
        feature.float_domain.min, feature.float_domain.max = bounds


def _range(fact: ColumnFacts, kind: str) -> tuple[float, float] | None:
    """Bounds for the next table; None for a column that has no stable ones."""
    if fact.minimum is None or fact.maximum is None or kind in ("identifier", "date"):
        return None
    if fact.private:
        return None
    if fact.kind not in ("number", "integer", "decimal"):
        return None
    globe = coordinate_range(fact)
    if globe:
        return globe
    low, high = fact.minimum, fact.maximum
    span = high - low or abs(high) or 1.0
    if not math.isfinite(span) or max(-low, high) > WIDEST:
        return None
    wide_low, wide_high = _wide(low - MARGIN * span, span), _wide(high + MARGIN * span, span)
    if low >= 0:
        wide_low = max(0.0, wide_low)
        wide_high = 1.0 if fact.kind == "number" and high <= 1 else wide_high
    if high <= 0:
        wide_high = min(0.0, wide_high)
    whole = fact.kind == "integer"
    return (math.floor(wide_low), math.ceil(wide_high)) if whole else (wide_low, wide_high)


def _wide(value: float, span: float) -> float:
    """With as many digits as the span has use for: a person reads the bound."""
    return round(value, 1 - math.floor(math.log10(span)))


def _comparators(feature: Any, kind: str, is_label: bool) -> None:
    category = feature.HasField("domain")
    if not category and (feature_type(feature) == "BYTES" or kind in ("identifier", "date")):
        return
    # Requests have no label to compare.
    for comparator in [feature.drift_comparator] + ([] if is_label else [feature.skew_comparator]):
        if category:
            comparator.infinity_norm.threshold = DIVERGENCE
        else:
            comparator.jensen_shannon_divergence.threshold = DIVERGENCE
