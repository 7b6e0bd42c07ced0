"""Which findings stop a run: a severity for each kind, and columns for which one is allowed.

Kinds are TFDV's anomalies as rules name them, such as `schema_new_column`, and this step's own
checks of columns, such as `data.constant`. By default everything that a given schema does not allow
stops, but for new columns and what TFDV itself calls a warning; the step's own checks only warn.
The label's rules and the number of rows always hold: without them nothing can be learnt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from shipway.components.lib.decision import Rule
from shipway.components.lib.errors import ConfigurationError, nearest

VERDICTS = {"stop": "fail", "warn": "warn", "ignore": "pass"}
EVERY = "*"
COLUMN = "column "


@dataclass(frozen=True)
class Policy:
    """What a user said about findings.

    Attributes:
        severity: "stop", "warn" or "ignore" by kind.
        allowed: pairs of a column and a kind, or `*` for all kinds.
    """

    severity: Mapping[str, str] = field(default_factory=dict)
    allowed: frozenset[tuple[str, str]] = frozenset()

    def applied(self, rules: Sequence[Rule]) -> list[Rule]:
        """The rules with the verdicts that the user wants; none is left out."""
        return [self._applied(rule) for rule in rules]

    def _applied(self, rule: Rule) -> Rule:
        kind, column = plain(rule.name), rule.slice.removeprefix(COLUMN)
        if rule.verdict == "pass" or not kind_may_change(kind, rule.name):
            return rule
        if rule.slice and {(column, kind), (column, EVERY)} & self.allowed:
            said = f"{rule.sentence} Allowed by allowed_anomalies."
            return replace(rule, verdict="pass", sentence=said)
        severity = self.severity.get(kind)
        if severity is None or VERDICTS[severity] == rule.verdict:
            return rule
        said = f"{rule.sentence} Set to '{severity}' by anomaly_severity."
        return replace(rule, verdict=VERDICTS[severity], sentence=said)


def kind_may_change(kind: str, rule: str) -> bool:
    """Whether a finding is for the user to judge: those of the label and of the rows are not."""
    return rule.startswith("schema.") or (kind.startswith("data.") and kind != "data.rows")


def plain(name: str) -> str:
    """The kind of a finding by the name of its rule, or as a user writes it."""
    return name.strip().lower().removeprefix("schema.")


def read_policy(
    allowed: Sequence[str], severity: Mapping[str, str], columns: Sequence[str], kinds: set[str]
) -> Policy:
    """A policy from parameters.

    Args:
        allowed: `column:kind` or `column:*`.
        severity: "stop", "warn" or "ignore" by kind.
        columns: of the table and of the schema.
        kinds: of findings that there can be.

    Raises:
        ConfigurationError: a column, a kind or a severity does not exist.
    """
    pairs = set()
    for entry in allowed:
        column, colon, kind = entry.rpartition(":")
        if not colon or column not in columns:
            raise ConfigurationError(
                f"allowed_anomalies has '{entry}', whose column '{column}' is not in the table nor "
                f"in the schema.{nearest(column, columns)} Write COLUMN:KIND or COLUMN:*."
            )
        pairs.add((column, kind if kind == EVERY else _known(kind, kinds, "allowed_anomalies")))
    chosen = {}
    for kind, level in severity.items():
        if level not in VERDICTS:
            raise ConfigurationError(
                f"anomaly_severity gives '{kind}' the severity '{level}'; it is one of "
                f"{', '.join(VERDICTS)}."
            )
        chosen[_known(kind, kinds, "anomaly_severity")] = level
    return Policy(chosen, frozenset(pairs))


def _known(kind: str, kinds: set[str], where: str) -> str:
    name = plain(kind)
    if name not in kinds:
        raise ConfigurationError(
            f"{where} names the kind '{kind}', which no finding has.{nearest(name, sorted(kinds))} "
            "Take the names of rules from a decision, without 'schema.'; those of the label and "
            "data.rows always hold."
        )
    return name
