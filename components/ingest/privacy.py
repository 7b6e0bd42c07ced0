"""Policies for personal data: what is done to a column before any of it is written.

keep        as it is; no page shows its values
drop        never read
hash        keyed HMAC-SHA256: the same value gives the same code in every run with the same key
mask        letters and digits become *; the first letter and the last two digits stay
bucket:10   numbers become the lower edge of their bucket, here of width 10
bucket:0 18 65   the same with edges of its own; what is below the first edge takes that edge
bucket:month     times become the start of their day, week, month, quarter or year
"""

import hmac
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.errors import ConfigurationError, nearest
from shipway.components.lib.private import mark_private

KEY_VARIABLE = "SHIPWAY_PRIVACY_KEY"
KEY_CHARACTERS = 16
CODE_CHARACTERS = 32
ACTIONS = ("keep", "drop", "hash", "mask", "bucket")
UNITS = ("day", "week", "month", "quarter", "year")
TEXT, WHOLE, NUMBER = pa.string(), pa.int64(), pa.float64()

Change = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True)
class Policy:
    """What is done to one column.

    Attributes:
        text: as it was given.
        action: keep, drop, hash, mask or bucket.
        edges: of buckets of numbers; one edge is a width.
        unit: of buckets of times.
    """

    text: str
    action: str
    edges: tuple[float, ...] = ()
    unit: str = ""


def read_policies(given: Mapping[str, str], names: Sequence[str], label: str) -> dict[str, Policy]:
    """The policies by column.

    Args:
        given: column to policy, as in the module's docstring.
        names: all columns of the source.
        label: the column to predict.

    Raises:
        ConfigurationError: a column is not there, a policy is none, or it does not suit the label.
    """
    policies = {}
    for name, text in given.items():
        if name not in names:
            raise ConfigurationError(
                f"privacy names '{name}', which is no column of the table.{nearest(name, names)}"
            )
        policy = policies[name] = _read(name, str(text).strip())
        if name == label and policy.action not in ("keep", "bucket"):
            raise ConfigurationError(
                f"privacy: '{text}' does not suit the label '{name}': the endpoint answers in its "
                "values. Choose keep or bucket, or predict another column."
            )
    return policies


def _read(name: str, text: str) -> Policy:
    action, _, rest = (part.strip() for part in text.partition(":"))
    wrong = ConfigurationError(
        f"privacy['{name}']='{text}' is no policy.{nearest(action, ACTIONS)} It is keep, drop, "
        "hash, mask, or bucket with a width (bucket:10), edges that rise (bucket:0 18 65) or a "
        f"unit of time (bucket:{'|'.join(UNITS)})."
    )
    if action not in ACTIONS or bool(rest) != (action == "bucket"):
        raise wrong
    if action != "bucket" or rest in UNITS:
        return Policy(text, action, unit=rest)
    try:
        edges = tuple(float(edge) for edge in rest.replace(",", " ").split())
    except ValueError:
        raise wrong from None
    rising = all(low < high for low, high in pairwise(edges))
    if not np.isfinite(edges).all() or not rising or (len(edges) == 1 and edges[0] <= 0):
        raise wrong
    return Policy(text, action, edges)


def _key() -> bytes:
    key = os.environ.get(KEY_VARIABLE, "")
    if len(key) < KEY_CHARACTERS:
        stands = f"is shorter than {KEY_CHARACTERS} characters" if key else "is not set"
        raise ConfigurationError(
            f"privacy asks for 'hash', but the key {KEY_VARIABLE} {stands} in the environment. "
            "Make one by 'openssl rand -hex 32'. On a cluster put it into the Secret "
            "'shipway-privacy' under 'key'; on this machine export it. Keep it: another key gives "
            "other codes."
        )
    return key.encode()


@dataclass
class Guard:
    """Changes the columns that have a policy, batch by batch.

    Attributes:
        schema: of the changed table; private columns are marked in it.
    """

    schema: pa.Schema
    _changes: dict[str, Change] = field(default_factory=dict)

    @classmethod
    def of(
        cls, schema: pa.Schema, policies: Mapping[str, Policy], found: Collection[str], label: str
    ) -> "Guard":
        """Prepare.

        Args:
            schema: of the columns that are read.
            policies: by column; those to drop are not in the schema.
            found: columns in which personal data was found.
            label: never private: its values are what the endpoint answers, and on every page.

        Raises:
            ConfigurationError: a policy does not suit a column's type, or there is no key.
        """
        guard = cls(schema)
        fields = []
        for one in schema:
            policy = policies.get(one.name)
            kind = one.type
            if policy and policy.action not in ("keep", "drop"):
                kind, guard._changes[one.name] = _change(one, policy)
            # A bucket holds many: its edges may be shown.
            hidden = policy.action != "bucket" if policy else one.name in found
            changed = pa.field(one.name, kind)
            if hidden and one.name != label:
                changed = mark_private(changed)
            fields.append(changed)
        guard.schema = pa.schema(fields, schema.metadata)
        return guard

    def apply(self, batch: pa.RecordBatch | pa.Table) -> pa.Table:
        """The rows as they may be written, of this guard's schema."""
        columns = []
        for one in self.schema:
            values = batch.column(batch.schema.get_field_index(one.name))
            change = self._changes.get(one.name)
            columns.append(change(_whole(values)) if change else values)
        return pa.Table.from_arrays(columns, schema=self.schema)


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values


def _change(column: pa.Field, policy: Policy) -> tuple[pa.DataType, Change]:
    if policy.action == "hash":
        key = _key()
        return TEXT, lambda values: _each(values, lambda text: code_of(text, key))
    if policy.action == "mask":
        return TEXT, lambda values: _each(values, mask)
    is_time = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
    is_whole = pa.types.is_integer(column.type)
    if policy.unit and is_time:
        return column.type, lambda values: _floored(values, policy.unit)
    if not policy.unit and (is_whole or pa.types.is_floating(column.type)):
        whole = is_whole and all(edge.is_integer() for edge in policy.edges)
        kind = WHOLE if whole else NUMBER
        return kind, lambda values: _bucketed(values, policy.edges, kind)
    raise ConfigurationError(
        f"privacy['{column.name}']='{policy.text}' does not suit the column, which holds "
        f"{column.type}: a width or edges are for numbers, a unit of time is for times. Choose "
        "another bucket, or hash, mask or drop."
    )


def _each(values: pa.Array, change: Callable[[str], str]) -> pa.Array:
    """Change each distinct value once."""
    if pa.types.is_timestamp(values.type):
        values = pc.cast(values, pa.timestamp("us", values.type.tz), safe=False)
    if pa.types.is_temporal(values.type):
        values = pc.cast(values, TEXT)
    coded = pc.dictionary_encode(values)
    texts = (_plain(value) for value in coded.dictionary.to_pylist())
    changed = pa.array([None if text is None else change(text) for text in texts], TEXT)
    return changed.take(coded.indices)


def _plain(value: object) -> str | None:
    """A value as text, the same whether its column was read as whole or as broken numbers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not np.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return None if value is None else str(value)


def code_of(text: str, key: bytes) -> str:
    """The keyed code of a value: 128 bits of HMAC-SHA256, as hexadecimal text."""
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()[:CODE_CHARACTERS]


def mask(text: str) -> str:
    """The shape of a value, its first letter, and the last two digits of six or more."""
    digits = [place for place, sign in enumerate(text) if sign.isdigit()]
    shown = set(digits[-2:]) if len(digits) >= 6 else set()
    if len(text) >= 4 and text[0].isalpha():
        shown.add(0)
    return "".join(
        "*" if sign.isalnum() and place not in shown else sign for place, sign in enumerate(text)
    )


def _bucketed(values: pa.Array, edges: Sequence[float], kind: pa.DataType) -> pa.Array:
    numbers = pc.cast(values, NUMBER, safe=False).to_numpy(zero_copy_only=False)
    if len(edges) == 1:
        lower = np.floor(numbers / edges[0]) * edges[0]
    else:
        place = np.searchsorted(edges, numbers, side="right") - 1
        lower = np.where(np.isfinite(numbers), np.asarray(edges)[place.clip(0)], np.nan)
    missing = np.asarray(pc.is_null(values)) | ~np.isfinite(lower)
    return pa.array(np.where(missing, 0, lower), NUMBER, mask=missing).cast(kind)


def _floored(values: pa.Array, unit: str) -> pa.Array:
    return pc.cast(pc.floor_temporal(values, unit=unit), values.type, safe=False)
