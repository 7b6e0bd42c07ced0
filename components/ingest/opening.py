"""From what a run asks for to an open source: objects of a folder or bucket, or a query."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shipway.components.ingest.options import parse_options
from shipway.components.ingest.rejects import Rejects
from shipway.components.ingest.sources import (
    FORMATS,
    Source,
    choose_objects,
    open_query,
    open_source,
)
from shipway.components.ingest.sql_address import Address, is_database, parse_address
from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.objects import StoredObject
from shipway.components.lib.storage import base_of, list_objects

GENERATIONS_LENGTH = 200
QUERY_LENGTH = 4_000


@dataclass(frozen=True)
class Asked:
    """Where the rows are.

    Attributes:
        uri: of the objects, or of a database without the query.
        address: of a database; None for objects.
    """

    uri: str
    address: Address | None = None

    @classmethod
    def of(cls, data_uri: str, query: str) -> "Asked":
        """Read `data_uri` and `query`.

        Raises:
            ConfigurationError: they do not go together, or hold a secret.
        """
        if is_database(data_uri):
            address = parse_address(data_uri, query)
            return cls(address.uri, address)
        if query.strip():
            raise ConfigurationError(
                f"query is set, but data_uri='{data_uri}' is no database. Take the query out, or "
                "name a database, such as postgresql://HOST/DATABASE."
            )
        return cls(data_uri.strip())


@dataclass(frozen=True)
class Opened:
    """A source, and what it is made of.

    Attributes:
        source: its rows.
        uri: where they come from.
        objects: what is read; of a database in a file, that file.
        ignored: URIs beside them that are not read.
        query: facts of the query; empty for objects.
    """

    source: Source
    uri: str
    objects: Sequence[StoredObject] = ()
    ignored: Sequence[str] = ()
    query: Mapping[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Where the rows come from, as flat artifact metadata."""
        return {
            "source_uri": self.uri,
            "source_generation": generations(self.objects),
            **self.query,
        }


def generations(objects: Sequence[StoredObject]) -> str:
    """Which state of some objects was read: each generation, or a digest where they are many."""
    listed = ",".join(one.generation for one in objects)
    if len(listed) <= GENERATIONS_LENGTH:
        return listed
    lines = "".join(f"{one.uri} {one.generation}\n" for one in objects)
    return f"{len(objects)} objects, sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def open_asked(
    asked: Asked,
    data_format: str,
    missing_values: Sequence[str],
    choose: Callable[[Sequence[str]], list[str]],
    row_limit: int,
    read_options: Mapping[str, str],
    rejects: Rejects,
) -> Opened:
    """Open what was asked for; the parameters are those of `open_source`.

    Raises:
        ConfigurationError: a parameter is unknown, or says nothing about the source.
        DataError: the source cannot be read.
    """
    address = asked.address
    if address is None:
        listed = list_objects(asked.uri)
        data_format, objects, ignored = choose_objects(listed, data_format)
        options = parse_options(read_options, data_format)
        source = open_source(
            objects, data_format, missing_values, choose, row_limit, options, rejects,
            base_of(asked.uri),
        )  # fmt: skip
        return Opened(source, asked.uri, objects, ignored)
    if data_format not in ("", "auto"):
        raise ConfigurationError(
            f"data_format='{data_format}' says nothing about {address.scheme}://; it is one of "
            f"{', '.join(FORMATS)} for files. Leave it at auto."
        )
    parse_options(read_options, address.scheme)
    files = list_objects(address.path) if address.scheme in ("sqlite", "duckdb") else []
    source = open_query(address, missing_values, choose, row_limit)
    query = {"query": address.query[:QUERY_LENGTH], "query_sha256": address.query_sha256}
    return Opened(source, asked.uri, files, (), query)
