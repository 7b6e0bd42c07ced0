"""Where a query goes: data_uri of a database, and the one statement that is sent there."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from shipway.components.ingest.sql_statement import one_statement
from shipway.components.lib.errors import ConfigurationError, nearest

FORMS = {
    "postgresql": "postgresql://[USER@]HOST[:PORT]/DATABASE",
    "redshift": "redshift://[USER@]HOST[:PORT]/DATABASE",
    "sqlite": "sqlite:///PATH",
    "duckdb": "duckdb:///PATH",
    "bigquery": "bigquery://PROJECT[/DATASET]",
    "snowflake": "snowflake://[USER@]ACCOUNT/DATABASE[/SCHEMA]",
}
_SERVER = ("application_name", "connect_timeout", "host", "sslmode", "sslrootcert")
_OPTIONS = {
    "postgresql": _SERVER,
    "redshift": _SERVER,
    "bigquery": ("location",),
    "snowflake": ("role", "warehouse"),
}
_SECRETS = {
    "postgresql": "PGPASSWORD, or PGPASSFILE",
    "redshift": "PGPASSWORD, or PGPASSFILE",
    "bigquery": "GOOGLE_APPLICATION_CREDENTIALS, or the account of the pod",
    "snowflake": "SNOWFLAKE_PASSWORD, or SNOWFLAKE_TOKEN",
}
_HOW = "end data_uri by ?table=NAME or ?query=SELECT ..., or set the parameter query"


@dataclass(frozen=True)
class Address:
    """A database and what is asked of it.

    Attributes:
        scheme: postgresql, redshift, sqlite, duckdb, bigquery or snowflake.
        user: who asks; empty takes the environment's.
        host: with its port; the project of BigQuery, the account of Snowflake.
        path: of a file; else database, or dataset, or database and schema.
        options: of the connection.
        query: one statement that reads.
    """

    scheme: str
    user: str
    host: str
    path: str
    query: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The address without the query, as it stands in logs, metadata and pages."""
        user = f"{self.user}@" if self.user else ""
        in_file = self.scheme in ("sqlite", "duckdb")
        slash = "/" if self.path and not in_file else ""
        return f"{self.scheme}://{user}{self.host}{slash}{self.path}"

    @property
    def query_sha256(self) -> str:
        """The SHA-256 of the query's text."""
        return hashlib.sha256(self.query.encode()).hexdigest()


def is_database(data_uri: str) -> bool:
    """Whether a URI is that of a database."""
    return data_uri.strip().partition("://")[0].lower() in (*FORMS, "postgres")


def parse_address(data_uri: str, query: str) -> Address:
    """Read the URI of a database.

    Args:
        data_uri: `SCHEME://PLACE?OPTION=VALUE&...`, whose last option may be `table=NAME` or
            `query=SQL`. SQL reaches to the end of the URI; it is taken as it stands when it has a
            space or a line end in it, else as URL-encoded.
        query: the SQL, if it does not stand in the URI.

    Raises:
        ConfigurationError: the URI holds a password, is not of the form of its scheme, or there is
            not exactly one statement that reads.
    """
    scheme, _, rest = data_uri.strip().partition("://")
    scheme = {"postgres": "postgresql"}.get(scheme.lower(), scheme.lower())
    place, _, tail = rest.partition("?")
    options, asked = _options(scheme, tail)
    given = [one for one in (query.strip(), asked) if one]
    if len(given) != 1:
        how_many = "two queries" if given else "no query"
        raise ConfigurationError(f"data_uri of {scheme}:// has {how_many}: {_HOW}, one of them.")
    user, host, path = _place(scheme, place)
    return Address(scheme, user, host, path, one_statement(given[0], scheme), options)


def _place(scheme: str, place: str) -> tuple[str, str, str]:
    if scheme in ("sqlite", "duckdb"):
        if not place:
            raise ConfigurationError(f"data_uri names no file; write {FORMS[scheme]}.")
        return "", "", unquote(place)
    front, _, path = place.partition("/")
    login, _, host = front.rpartition("@")
    user, sign, _ = login.partition(":")
    if sign:
        raise ConfigurationError(
            f"data_uri of {scheme}:// holds a password, which would stand in logs and metadata. "
            f"Take it out and renew it; credentials come from the environment: {_SECRETS[scheme]}."
        )
    database_missing = scheme != "bigquery" and not path
    if database_missing or (scheme in ("bigquery", "snowflake") and not host):
        raise ConfigurationError(f"data_uri of {scheme}:// is not of the form {FORMS[scheme]}.")
    return unquote(user), host, unquote(path)


def _options(scheme: str, tail: str) -> tuple[dict[str, str], str]:
    """The options of a connection, and the SQL."""
    head, sign, sql = tail.partition("query=")
    if sign and (not head or head.endswith("&")):
        tail, sql = head.rstrip("&"), sql if re.search(r"\s", sql) else unquote(sql)
    else:
        sql = ""
    options = dict(part.partition("=")[::2] for part in tail.split("&") if part)
    table = unquote(options.pop("table", ""))
    known = _OPTIONS.get(scheme, ())
    for name in options:
        if name not in known:
            taken = ", ".join(("table", "query", *known))
            raise ConfigurationError(
                f"data_uri of {scheme}:// has the option '{name}', which is not taken: it takes "
                f"{taken}.{nearest(name, known)} Credentials come from the environment"
                f"{': ' + _SECRETS[scheme] if scheme in _SECRETS else ''}."
            )
    if table and sql:
        raise ConfigurationError(f"data_uri of {scheme}:// has both table= and query=: {_HOW}.")
    if table:
        sign = "`" if scheme == "bigquery" else '"'
        parts = [sign + part.strip().replace(sign, sign * 2) + sign for part in table.split(".")]
        sql = f"SELECT * FROM {'.'.join(parts)}"
    return {name: unquote(value) for name, value in options.items()}, sql.strip()
