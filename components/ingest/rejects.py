"""Rows that cannot be read: counted, kept aside in a file, and no more of them than allowed."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from shipway.components.lib.errors import ConfigurationError, DataError

FILE = "_rejects.jsonl"  # readers of a table pass over names that begin with "_"
TEXT_LENGTH = 1_000
_IN_MEMORY = 1 << 20
WITHHELD = "withheld: columns of this table are left out or private"


@dataclass(frozen=True)
class Reject:
    """One row that cannot be read.

    Attributes:
        uri: of its object.
        row: its number, from 1: of rows in CSV, of lines in JSON lines.
        text: as it stands there.
        reason: why it cannot be read, in the words of an error.
    """

    uri: str
    row: int
    text: str
    reason: str


class Rejects:
    """Collects the rows of one pass over a source that cannot be read."""

    def __init__(self, maximum_share: float = 0.0, with_text: bool = True) -> None:
        """Begin.

        Args:
            maximum_share: of all rows that may be rejected; 0 rejects none: the first is an error.
            with_text: whether their text may be written.

        Raises:
            ConfigurationError: the share is none.
        """
        if not 0 <= maximum_share < 1:
            raise ConfigurationError(
                f"maximum_rejected_share={maximum_share:g} must be 0 or more, and below 1: the "
                "share of rows that may be left out because they cannot be read."
            )
        self.maximum_share = maximum_share
        self._with_text = with_text
        self.begin()

    @property
    def allowed(self) -> bool:
        """Whether a row may be rejected at all."""
        return self.maximum_share > 0

    def begin(self) -> None:
        """Forget what was rejected: the source is read from its beginning."""
        self.first: list[Reject] = []
        self.reasons: Counter[str] = Counter()
        self._spool = cast(BinaryIO, tempfile.SpooledTemporaryFile(_IN_MEMORY))

    @property
    def count(self) -> int:
        """How many were rejected."""
        return self.reasons.total()

    def add(self, reject: Reject) -> None:
        """Keep a row aside."""
        self.reasons[reject.reason] += 1
        if len(self.first) < 3:
            self.first.append(reject)
        line = {
            "object": reject.uri,
            "row": reject.row,
            "reason": reject.reason,
            "text": reject.text[:TEXT_LENGTH] if self._with_text else WITHHELD,
        }
        self._spool.write(json.dumps(line).encode() + b"\n")

    def check(self, kept: int) -> None:
        """Refuse a source with more of them than allowed.

        Args:
            kept: rows that were read.

        Raises:
            DataError: it has.
        """
        total = kept + self.count
        if self.count <= self.maximum_share * total:
            return
        first = " ".join(f"'{one.uri}', row {one.row}: {one.reason}." for one in self.first)
        raise DataError(
            f"{self.count:,} of {total:,} rows ({self.count / total:.3%}) cannot be read, where "
            f"maximum_rejected_share={self.maximum_share:g} allows {self.maximum_share:.3%}. "
            f"{first} Mend them, set read_options to how the file is written, or allow more."
        )

    def save(self, attach: Callable[[str, BinaryIO], None]) -> None:
        """Give the file of them, if there are any, to what writes the table."""
        if self.count:
            self._spool.seek(0)
            attach(FILE, self._spool)

    def note(self) -> str:
        """A sentence for the page; empty without rejects."""
        if not self.count:
            return ""
        common = ", ".join(f"{reason} ({count:,})" for reason, count in self.reasons.most_common(3))
        return (
            f"{self.count:,} rows could not be read: {common}. They stand in {FILE} beside the "
            f"parts of the table; at most {self.maximum_share:.3%} of the rows may."
        )
