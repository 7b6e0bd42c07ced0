"""What happens to rows on their way into a Dataset: changed by policies, sampled, summed up."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from shipway.components.ingest.privacy import Guard, Policy, read_policies
from shipway.components.ingest.privacy_groups import Anonymity, Groups
from shipway.components.ingest.privacy_scan import Finding, scan
from shipway.components.ingest.summaries import Sample, Summaries
from shipway.components.lib.errors import ConfigurationError, DataError, nearest

PII_ACTIONS = ("warn", "stop")
SHOWN = 20
LONGEST = 500


@dataclass(frozen=True)
class Wishes:
    """What was asked for personal data.

    Attributes:
        privacy: policy by column, as in `privacy`.
        pii_action: warn or stop, where personal data is found in a column without a policy.
        quasi_identifiers: columns that may tell a person together.
    """

    privacy: Mapping[str, str] = field(default_factory=dict)
    pii_action: str = "warn"
    quasi_identifiers: Sequence[str] = field(default_factory=list)

    def policies(self, names: Sequence[str], label: str) -> dict[str, Policy]:
        """The policies by column, all wishes looked at.

        Args:
            names: all columns of the source.
            label: the column to predict.

        Raises:
            ConfigurationError: a column is not there or dropped, or a word is none.
        """
        if self.pii_action not in PII_ACTIONS:
            raise ConfigurationError(
                f"pii_action='{self.pii_action}' is unknown: it is {' or '.join(PII_ACTIONS)}."
                f"{nearest(self.pii_action, PII_ACTIONS)}"
            )
        policies = read_policies(self.privacy, names, label)
        for name in self.quasi_identifiers:
            if name not in names:
                raise ConfigurationError(
                    f"quasi_identifiers names '{name}', which is no column of the table."
                    f"{nearest(name, names)}"
                )
            if name in policies and policies[name].action == "drop":
                raise ConfigurationError(
                    f"quasi_identifiers names '{name}', which privacy drops. Take it out of one."
                )
        if all(
            name in policies and policies[name].action == "drop" for name in names if name != label
        ):
            raise ConfigurationError("privacy drops every column beside the label. Keep some.")
        return policies


@dataclass(frozen=True)
class Inspected:
    """What one pass over all rows showed.

    Attributes:
        schema: as written, private columns marked.
        policies: by column.
        findings: personal data that seems to be there.
        anonymity: of the quasi-identifiers, as written; None without them.
        facts: statistics by column, as `Summaries.facts`.
        sampled: rows that were looked at for personal data and frequent values.
        whole: whether these are all rows.
    """

    schema: pa.Schema
    policies: Mapping[str, Policy]
    findings: Sequence[Finding]
    anonymity: Anonymity | None
    facts: Mapping[str, Mapping[str, Any]]
    sampled: int
    whole: bool

    @property
    def open(self) -> list[Finding]:
        """Findings in columns that have no policy."""
        return [one for one in self.findings if one.column not in self.policies]

    def metadata(self) -> dict[str, str | float]:
        """Flat artifact metadata: what was found, what was done, how well rows hide."""
        told: dict[str, str | float] = {}
        if self.findings:
            found = (f"{one.column}: {one.kind}" for one in self.findings)
            told["personal_data"] = "; ".join(found)[:LONGEST]
            told["personal_data_without_policy"] = float(len({one.column for one in self.open}))
        if self.policies:
            done = (f"{name}: {policy.text}" for name, policy in self.policies.items())
            told["privacy"] = "; ".join(done)[:LONGEST]
        if self.anonymity:
            told["k_anonymity"] = float(self.anonymity.smallest)
            told["rows_in_small_groups"] = float(self.anonymity.small_rows)
        return told


class FoundLateError(Exception):
    """Personal data stands in a column whose first rows showed none: begin again.

    Attributes:
        columns: all columns in which it was found.
    """

    def __init__(self, columns: frozenset[str]) -> None:
        """Name the columns."""
        super().__init__("personal data was found late")
        self.columns = columns


class Inspection:
    """One pass; a context manager. The first batch goes to `begin`, each batch to `change`."""

    def __init__(
        self, schema: pa.Schema, policies: Mapping[str, Policy], wishes: Wishes, label: str
    ) -> None:
        """Prepare a pass over rows of a schema."""
        self._raw, self._policies, self._wishes = schema, policies, wishes
        self._label = label
        self._sample = Sample(schema)
        self._stack = ExitStack()

    def __enter__(self) -> "Inspection":
        """Make room for counting groups."""
        self._groups = self._stack.enter_context(Groups(self._wishes.quasi_identifiers))
        return self

    def __exit__(self, *raised: object) -> None:
        """Let go of it."""
        self._stack.close()

    def begin(self, first: pa.RecordBatch | None, known: frozenset[str]) -> pa.Schema:
        """Look at the first rows.

        Args:
            first: batch; None for a table without rows.
            known: columns in which personal data was found before.

        Returns:
            The schema to write.

        Raises:
            ConfigurationError: a policy does not suit its column, or its key is missing.
            DataError: personal data was found where it shall stop the step.
        """
        head = Sample(self._raw)
        if first is not None:
            head.add(first)
        self._head = scan(head.table())
        self._head_rows = first.num_rows if first is not None else 0
        self._refuse(self._head)
        self._found = known | {one.column for one in self._head}
        self._guard = Guard.of(self._raw, self._policies, self._found, self._label)
        self._summaries = Summaries(self._guard.schema)
        return self._guard.schema

    def change(self, batch: pa.RecordBatch) -> pa.Table:
        """The rows of a batch as they may be written."""
        self._sample.add(batch)
        return self._guard.apply(batch)

    def count(self, kept: pa.Table) -> pa.Table:
        """Sum up rows that are written, and give them back."""
        self._summaries.look(kept)
        self._groups.add(kept)
        return kept

    def end(self) -> Inspected:
        """What was seen.

        Raises:
            FoundLateError: a column must be marked that was not.
            DataError: personal data was found where it shall stop the step.
        """
        sample = self._sample.table()
        only = self._sample.seen == self._head_rows
        findings = self._head if only else scan(sample)
        self._refuse(findings)
        late = {one.column for one in findings} - self._found - set(self._policies)
        if late:
            raise FoundLateError(self._found | late)
        # A column that only the first rows told of is private, so the page must name it.
        seen = {(one.column, one.kind) for one in findings}
        findings = [*findings, *(o for o in self._head if (o.column, o.kind) not in seen)]
        return Inspected(
            self._guard.schema,
            self._policies,
            findings,
            self._groups.result(),
            self._summaries.facts(self._guard.apply(sample)),
            sample.num_rows,
            self._sample.whole,
        )

    def _refuse(self, findings: Sequence[Finding]) -> None:
        open_ = [one for one in findings if one.column not in self._policies]
        if not open_ or self._wishes.pii_action != "stop":
            return
        named = list(dict.fromkeys(f"'{one.column}' ({one.kind})" for one in open_))
        more = f" and {len(named) - SHOWN:,} more" if len(named) > SHOWN else ""
        raise DataError(
            f"Personal data seems to stand in {', '.join(named[:SHOWN])}{more}, and "
            "pii_action='stop'. Give each column a policy by privacy, such as "
            f"--set privacy='{open_[0].column}=hash': keep, drop, hash, mask or bucket."
        )
