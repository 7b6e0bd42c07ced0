"""The schema, inferred or given, and TFDV's anomalies as rules of a decision."""

from typing import Any

from shipway.components.lib.decision import Rule
from shipway.components.lib.errors import ConfigurationError
from shipway.components.validate.statistics import import_tfdv

TRAINING, SERVING = "TRAINING", "SERVING"
MAX_DOMAIN = 100
WARNINGS = {"SCHEMA_NEW_COLUMN"}

CURES = {
    "SCHEMA_NEW_COLUMN": "Exclude the column, or add it to the schema after a review.",
    "SCHEMA_MISSING_COLUMN": "Bring the column back, or take it out of the schema.",
    "UNEXPECTED_STRING": "Correct the values, or add them to the column's domain in the schema.",
    "_BIG_": "Correct the values, or raise the maximum in the schema.",
    "_SMALL_": "Correct the values, or lower the minimum in the schema.",
    "PRESENT": "Find out why values are missing, or lower min_fraction in the schema.",
    "NO_VALUES": "Find out why values are missing, or lower min_fraction in the schema.",
    "NUM_EXAMPLES": "Check that the whole table has arrived, or change the schema's limit.",
    "_NOT_": "Restore the column's type, or change it in the schema.",
    "DATA_TYPE": "Restore the column's type, or change it in the schema.",
}


def read_schema_text(uri: str) -> Any:
    """A TFDV Schema from a text proto.

    Args:
        uri: a local path or a gs:// URI of one file.

    Raises:
        DataError: there is nothing at the URI.
        ConfigurationError: what is there is not a schema.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    from shipway.components.lib.storage import list_objects, open_binary

    found = list_objects(uri)
    if len(found) != 1:
        raise ConfigurationError(
            f"schema_uri '{uri}' names {len(found)} files; name the one schema.pbtxt."
        )
    with open_binary(found[0]) as file:
        content = file.read()
    try:
        schema = text_format.Parse(content.decode("utf-8"), schema_pb2.Schema())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"schema_uri '{uri}' is not a TFDV schema in text form: {error}. Take the schema that "
            "a run wrote, and edit that."
        ) from error
    if not schema.feature:
        raise ConfigurationError(
            f"schema_uri '{uri}' describes no column. Take the schema that a run wrote."
        )
    return schema


def write_schema_text(schema: Any) -> str:
    """The schema as a text proto."""
    from google.protobuf import text_format

    return str(text_format.MessageToString(schema))


def infer_schema(statistics: Any, label: str) -> Any:
    """A schema that the measured table fits, with the environments TRAINING and SERVING.

    The label is expected in TRAINING only, so that requests and payload logs, which have no label,
    can be validated against the same schema.
    """
    tfdv = import_tfdv()
    # A fixed shape would report every later null a second time.
    schema = tfdv.infer_schema(
        statistics, infer_feature_shape=False, max_string_domain_size=MAX_DOMAIN
    )
    schema.default_environment.extend([TRAINING, SERVING])
    for feature in schema.feature:
        if feature.name == label:
            feature.not_in_environment.append(SERVING)
    return schema


def schema_rules(statistics: Any, schema: Any) -> list[Rule]:
    """What TFDV finds in statistics that a given schema does not allow, one rule a reason."""
    tfdv = import_tfdv()
    environment = TRAINING if TRAINING in schema.default_environment else None
    anomalies = tfdv.validate_statistics(statistics, schema, environment=environment)
    rules = []
    for name, info in sorted(anomalies.anomaly_info.items()):
        rules += _rules(".".join(info.path.step) or name, info)
    # Limits on the table as a whole stand apart, and are easily missed.
    if anomalies.HasField("dataset_anomaly_info"):
        rules += _rules("", anomalies.dataset_anomaly_info)
    return rules


def _rules(column: str, info: Any) -> list[Rule]:
    rules = []
    for reason in info.reason or [info]:
        kind = _kind(info, reason)
        mild = info.severity == type(info).WARNING or kind in WARNINGS
        cure = next((cure for part, cure in CURES.items() if part in kind), "")
        cure = cure or "Correct the data, or change the schema after a review."
        said = reason.description or reason.short_description
        subject = f"Column '{column}'" if column else "The table"
        rules.append(
            Rule(
                name=f"schema.{kind.lower()}",
                verdict="warn" if mild else "fail",
                sentence=f"{subject}: {said.strip().rstrip('.')}. {cure}",
                value=reason.short_description or None,
                slice=f"column {column}" if column else "",
            )
        )
    return rules


def _kind(info: Any, reason: Any) -> str:
    has_type = "type" in reason.DESCRIPTOR.fields_by_name
    return str(type(info).Type.Name(reason.type)) if has_type else "anomaly"
