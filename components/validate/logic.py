"""Validate a table: measure it, hold it to a schema and to the project's own rules, and decide."""

import logging
from dataclasses import dataclass
from pathlib import Path

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.files import aside, write_text_aside
from shipway.components.lib.tables import read_schema
from shipway.components.validate.anomalies import (
    infer_schema,
    read_schema_text,
    schema_rules,
    write_schema_text,
)
from shipway.components.validate.facts import column_facts
from shipway.components.validate.page import build_page
from shipway.components.validate.rules import data_rules
from shipway.components.validate.statistics import measure

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outputs:
    """Where the four outputs are written.

    Attributes:
        statistics: TFDV's DatasetFeatureStatisticsList, binary.
        schema: the schema as a text proto: the given one, or the inferred one.
        decision: the decision as JSON.
        report: the HTML page.
    """

    statistics: Path
    schema: Path
    decision: Path
    report: Path


def validate(
    dataset: Path,
    label: str,
    outputs: Outputs,
    schema_uri: str = "",
) -> Decision:
    """Validate a Dataset directory and write the four outputs.

    Args:
        dataset: the Dataset.
        label: the column to predict.
        outputs: where to write.
        schema_uri: a reviewed schema, a local path or gs:// URI; empty to infer one.

    Returns:
        The decision: "fail" means that training on this table makes no sense.

    Raises:
        DataError: the table or its label is not there, or there is nothing at `schema_uri`.
        ConfigurationError: what `schema_uri` names is not a schema.
    """
    names = read_schema(dataset).names
    if label not in names:
        raise DataError(
            f"The label '{label}' is not a column of the table.{nearest(label, names)} "
            f"It has {len(names)} columns: {', '.join(names[:20])}."
        )
    given = read_schema_text(schema_uri) if schema_uri else None
    profile = measure(dataset, given)
    facts = column_facts(profile, dataset)
    rules = data_rules(profile, facts, label, dataset)
    if given is None:
        schema = infer_schema(profile.statistics, label)
        said = "The schema was inferred from this table and nobody has reviewed it."
        rules.append(Rule("schema.fits", "pass", said))
    else:
        schema = given
        found = schema_rules(profile.statistics, schema)
        fits = Rule("schema.fits", "pass", "The table fits the given schema.")
        rules += found or [fits]
    decision = Decision("data", f"table with label '{label}'", rules)
    with aside(outputs.statistics) as draft:
        draft.write_bytes(profile.statistics.SerializeToString(deterministic=True))
    write_text_aside(outputs.schema, write_schema_text(schema))
    build_page(decision, facts, label, schema_uri).save(outputs.report)
    decision.save(outputs.decision)
    logger.info(
        "Measured %s rows and %s columns: %s, %s failures, %s warnings.",
        f"{profile.rows:,}",
        f"{len(facts):,}",
        decision.verdict,
        len(decision.failures),
        len(decision.warnings),
    )
    for rule in decision.failures:
        logger.info("%s: %s", rule.name, rule.sentence)
    return decision
