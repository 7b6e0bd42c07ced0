"""Validate a table: measure it, hold it to a schema and to the project's own rules, and decide."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipway.components.lib.decision import Decision, Rule
from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.files import aside, write_text_aside
from shipway.components.lib.schema_file import Review, review_of
from shipway.components.lib.tables import read_schema
from shipway.components.validate.anomalies import anomaly_kinds, schema_rules
from shipway.components.validate.beam_route import Places, measure_with_beam, runner_of
from shipway.components.validate.facts import column_facts
from shipway.components.validate.page import build_page
from shipway.components.validate.policy import Policy, read_policy
from shipway.components.validate.profile import Profile
from shipway.components.validate.rules import check_names, data_rules
from shipway.components.validate.schema import infer_schema, read_schema_file, write_schema_text
from shipway.components.validate.slices import add_slices
from shipway.components.validate.statistics import measure
from shipway.components.validate.withheld import without_private_values

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outputs:
    """Where the four outputs are written.

    Attributes:
        statistics: TFDV's DatasetFeatureStatisticsList, binary, without private values.
        schema: the schema as a text proto: the given one, or the inferred one.
        decision: the decision as JSON.
        report: the HTML page.
    """

    statistics: Path
    schema: Path
    decision: Path
    report: Path


@dataclass(frozen=True)
class Settings:
    """How a table is measured and judged.

    Attributes:
        schema_uri: a reviewed schema, a local path or gs:// URI; empty to infer one.
        allowed_anomalies: findings that do not count: `column:kind` or `column:*`.
        anomaly_severity: "stop", "warn" or "ignore" by kind of finding.
        slice_columns: columns whose most frequent values are measured one by one.
        sample_rows: rows to measure at most; 0 for all.
        beam_pipeline_args: Beam's, with a runner; empty to stream without Beam.
        dataset_uri: where workers of Beam on other machines read the Dataset.
        scratch_uri: a prefix that they may write to.
        task: that the label is for; "auto" tells it from the values.
    """

    schema_uri: str = ""
    allowed_anomalies: Sequence[str] = ()
    anomaly_severity: Mapping[str, str] = field(default_factory=dict)
    slice_columns: Sequence[str] = ()
    sample_rows: int = 0
    beam_pipeline_args: Sequence[str] = ()
    dataset_uri: str = ""
    scratch_uri: str = ""
    task: str = "auto"


def validate(dataset: Path, label: str, outputs: Outputs, settings: Settings) -> Decision:
    """Validate a Dataset directory and write the four outputs.

    Args:
        dataset: the Dataset.
        label: the column to predict.
        outputs: where to write.
        settings: how to measure and to judge.

    Returns:
        The decision: "fail" means that training on this table makes no sense.

    Raises:
        DataError: the table or its label is not there, or there is nothing at `schema_uri`.
        ConfigurationError: a setting cannot be used, such as a schema that is none.
    """
    names = read_schema(dataset).names
    if label not in names:
        raise DataError(
            f"The label '{label}' is not a column of the table.{nearest(label, names)} "
            f"It has {len(names)} columns: {', '.join(names[:20])}."
        )
    given, text = read_schema_file(settings.schema_uri) if settings.schema_uri else (None, "")
    policy = _policy(settings, names, given)
    profile = _measured(dataset, settings, given)
    facts = column_facts(profile, dataset)
    rules = data_rules(profile, facts, label, dataset, settings.task) + _measuring_rules(profile)
    review = review_of(text)
    rules.append(_review_rule(settings.schema_uri, review))
    if given is None:
        text = write_schema_text(infer_schema(profile.statistics, facts, label))
    else:
        found = schema_rules(profile.statistics, given, dataset, profile.table_rows)
        rules += found or [Rule("schema.fits", "pass", "The table fits the given schema.")]
    decision = Decision("data", f"table with label '{label}'", policy.applied(rules))
    with aside(outputs.statistics) as draft:
        shared = without_private_values(profile.statistics, facts)
        draft.write_bytes(shared.SerializeToString(deterministic=True))
    write_text_aside(outputs.schema, text)
    build_page(decision, facts, label, settings.schema_uri, review, profile).save(outputs.report)
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


def _policy(settings: Settings, names: Sequence[str], given: Any) -> Policy:
    if settings.beam_pipeline_args:
        runner_of(settings.beam_pipeline_args)  # refused now, not after the import of TFDV
    described = [feature.name for feature in given.feature] if given is not None else []
    columns = [*names, *(name for name in described if name not in names)]
    kinds = anomaly_kinds() | check_names() - {"data.rows"} | {MEASURED, "reviewed", "data.slices"}
    return read_policy(settings.allowed_anomalies, settings.anomaly_severity, columns, kinds)


def _measured(dataset: Path, settings: Settings, given: Any) -> Profile:
    if settings.beam_pipeline_args:
        places = Places(dataset, settings.dataset_uri, settings.scratch_uri)
        profile = measure_with_beam(
            places, settings.beam_pipeline_args, given, settings.sample_rows
        )
    else:
        profile = measure(dataset, given, settings.sample_rows)
    if settings.slice_columns:
        add_slices(profile, dataset, settings.slice_columns, given)
    return profile


MEASURED = "data.sample"


def _measuring_rules(profile: Profile) -> list[Rule]:
    """What was not measured, said plainly."""
    rules = []
    if profile.sampled:
        said = (
            f"Statistics are of a sample: {profile.rows:,} of {profile.table_rows:,} rows, drawn "
            "evenly. Rare values and extremes may lie outside it; set sample_rows to 0 for all."
        )
        rules.append(
            Rule(
                MEASURED, "warn", said, float(profile.rows), f"{profile.table_rows}", n=profile.rows
            )
        )
    for name, reason in profile.unsliced.items():
        said = f"Slices by column '{name}': {reason}. Slice by a column of few values."
        rules.append(Rule("data.slices", "warn", said, slice=f"column {name}"))
    return rules


def _review_rule(schema_uri: str, review: Review | None) -> Rule:
    """Whether a person has looked at the schema."""
    name = "schema.reviewed"
    if not schema_uri:
        return Rule(name, "warn", f"The schema was inferred from this table and {NOBODY}")
    if review is None:
        return Rule(name, "warn", f"The schema at '{schema_uri}' has no mark of a review: {NOBODY}")
    if not review.valid:
        said = (
            f"The schema was changed after {review.by} reviewed it at {review.at}. Look at it, and "
            "run `shipway schema review` again."
        )
        return Rule(name, "warn", said)
    return Rule(name, "pass", f"The schema was reviewed by {review.by} at {review.at}.")


NOBODY = (
    "nobody has reviewed it. Correct it, run `shipway schema review`, store it, and give its "
    "address as schema_uri."
)
