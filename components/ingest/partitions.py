"""Folders named KEY=VALUE, as Hive and Spark write them: each key becomes a column."""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from shipway.components.lib.errors import DataError
from shipway.components.lib.objects import StoredObject

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
INTEGER, TIME, TEXT = pa.int64(), pa.timestamp("us"), pa.string()
# 05 is a month, but 00123 is a code.
_INTEGER = re.compile(r"-?(0[0-9]|0|[1-9][0-9]{0,17})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Reader(Protocol):
    """What reads objects batch by batch."""

    names: list[str]
    _objects: Sequence[StoredObject]

    def batches(self, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of the kept columns."""


AnyReader = TypeVar("AnyReader", bound=Reader)


@dataclass(frozen=True)
class Partitions:
    """The columns that folders tell of.

    Attributes:
        types: by key, in the order of the folders; integers, dates (as times) or text, by the
            values of all objects.
        values: by key, for each object's URI.
    """

    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, pa.Scalar]] = field(default_factory=dict)

    def columns(self, names: Sequence[str]) -> list[str]:
        """The columns of the files, then those that only folders tell of."""
        return [*names, *(key for key in self.types if key not in names)]

    def in_files(self, reader: Reader, kept: Sequence[str]) -> list[str]:
        """Those of some columns that the files hold."""
        return [name for name in kept if name in set(reader.names)]

    def schema(self, kept: Sequence[str], files: pa.Schema) -> pa.Schema:
        """The types of the kept columns, where those of the files are known."""
        return pa.schema([(name, self.types.get(name) or files.field(name).type) for name in kept])

    def batches(self, reader: Reader, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows of the kept columns, those of the folders beside those of the files.

        Raises:
            DataError: a column that both tell of differs between them.
        """
        if not self.types:
            yield from reader.batches(kept)
            return
        wanted = self.in_files(reader, kept)
        for stored in reader._objects:
            values = self.values[stored.uri]
            # With no column of the files wanted, one is still read for the number of rows.
            for batch in _of_one(reader, stored).batches(wanted or reader.names[:1]):
                yield _widened(batch, kept, values, stored)

    def note(self) -> str:
        """A sentence for the datasheet; empty without partitions."""
        words = {INTEGER: "integer", TIME: "date", TEXT: "text"}
        told = ", ".join(f"{key} ({words[kind]})" for key, kind in self.types.items())
        return f"Columns made of folder names (KEY=VALUE): {told}." if told else ""


def _of_one(reader: AnyReader, stored: StoredObject) -> AnyReader:
    """A reader of one of its objects, which has all else that the reader of all has learnt."""
    one = copy.copy(reader)
    one._objects = [stored]
    return one


def _widened(
    batch: pa.RecordBatch,
    kept: Sequence[str],
    values: Mapping[str, pa.Scalar],
    stored: StoredObject,
) -> pa.RecordBatch:
    columns = []
    for name in kept:
        place = batch.schema.get_field_index(name)
        if name in values:
            if place >= 0:
                _check_agreement(batch.column(place), name, values[name], stored)
            columns.append(pa.repeat(values[name], batch.num_rows))
        else:
            columns.append(batch.column(place))
    return pa.RecordBatch.from_arrays(columns, names=list(kept))


def _check_agreement(held: pa.Array, name: str, value: pa.Scalar, stored: StoredObject) -> None:
    """Refuse values in a file that are not that of its folder."""
    try:
        text = pc.utf8_trim_whitespace(held) if held.type == TEXT else held
        same = pc.equal(pc.cast(text, value.type), value)
        agree = (
            held.null_count == len(held)
            if not value.is_valid
            else pc.all(pc.fill_null(same, False)).as_py() is not False
        )
    except pa.ArrowInvalid:
        agree = False
    if not agree:
        raise DataError(
            f"Column '{name}' of '{stored.uri}' holds other values than the name of its folder. "
            f"Mend the file or the folder's name, or leave the column out with "
            f"exclude_columns=['{name}']."
        )


def partitions_of(objects: Sequence[StoredObject], base: str) -> Partitions:
    """What the folders between a base and its objects tell.

    Raises:
        DataError: some objects lie in folders of other keys than the first.
    """
    texts = {one.uri: dict(_keys(one.uri, base)) for one in objects}
    keys = list(texts[objects[0].uri]) if objects else []
    for uri, told in texts.items():
        if list(told) != keys:
            raise DataError(
                f"'{uri}' lies in folders of {_listed(told)}, but '{objects[0].uri}' in those of "
                f"{_listed(keys)}. All objects of a source need the same partitions: name objects "
                "of one layout, e.g. by a glob."
            )
    types = {key: _type_of([told[key] for told in texts.values()]) for key in keys}
    values = {
        uri: {key: _scalar(text, types[key]) for key, text in told.items()}
        for uri, told in texts.items()
    }
    return Partitions(types, values)


def _keys(uri: str, base: str) -> Iterator[tuple[str, str | None]]:
    for folder in uri.removeprefix(base).split("/")[:-1]:
        key, sign, text = folder.partition("=")
        if sign and key:
            value = unquote(text)
            yield unquote(key), None if value in ("", NULL_PARTITION) else value


def _listed(keys: Any) -> str:
    return ", ".join(f"'{key}'" for key in keys) or "no KEY=VALUE"


def _type_of(texts: Sequence[str | None]) -> pa.DataType:
    known = {text for text in texts if text is not None}
    if known and all(_INTEGER.fullmatch(text) for text in known):
        return INTEGER
    if known and all(_DATE.fullmatch(text) for text in known):
        try:
            pa.array(sorted(known)).cast(TIME)
        except pa.ArrowInvalid:
            return TEXT
        return TIME
    return TEXT


def _scalar(text: str | None, kind: pa.DataType) -> pa.Scalar:
    return pa.array([text], TEXT).cast(kind)[0]
