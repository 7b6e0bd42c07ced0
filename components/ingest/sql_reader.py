"""The rows of a query, streamed as Arrow batches in constant memory."""

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa

from shipway.components.ingest.columns import twice
from shipway.components.ingest.plain_types import NUMBER, TEXT, plain, plain_batch
from shipway.components.ingest.sql_address import Address
from shipway.components.lib.errors import DataError

BATCH_BYTES = 4 << 20
BATCH_ROWS = 65_536
DRIVERS = {
    "postgresql": "adbc_driver_postgresql.dbapi",
    "redshift": "adbc_driver_postgresql.dbapi",
    "bigquery": "adbc_driver_bigquery.dbapi",
    "snowflake": "adbc_driver_snowflake.dbapi",
    "duckdb": "duckdb",
}
_BIGQUERY = "adbc.bigquery.sql."
_SNOWFLAKE = "adbc.snowflake.sql."
# Whatever a name means to a database, in Arrow it is text, or cents.
_NUMERIC = b"numeric"
_CENTS = b"money"


def driver_of(address: Address) -> Any:
    """The module that speaks to a database.

    Raises:
        DataError: it is not installed.
    """
    name = DRIVERS[address.scheme]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0].replace("_", "-")
        raise DataError(
            f"'{address.uri}' needs the driver {package}, which is not installed where this step "
            f"runs. Install shipway[{address.scheme}] there, or build an image of data with it."
        ) from error


def connection_of(address: Address, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """What a driver is told: a URI, and options by name; secrets come from the environment."""
    if address.scheme in ("postgresql", "redshift"):
        options = dict(address.options) | {"application_name": "shipway"}
        host = address.host
        if address.scheme == "redshift":
            options = {"sslmode": "require"} | options
            host = host if ":" in host else f"{host}:5439"
        user = f"{quote(address.user)}@" if address.user else ""
        query = urlencode(options, quote_via=quote)
        return f"postgresql://{user}{host}/{quote(address.path)}?{query}", {}
    if address.scheme == "bigquery":
        names = {"project_id": address.host, "dataset_id": address.path, **address.options}
        return "", {_BIGQUERY + name: text for name, text in names.items() if text}
    database, _, schema = address.path.partition("/")
    names = {"account": address.host, "db": database, "schema": schema, **address.options}
    options = {_SNOWFLAKE + name: text for name, text in names.items() if text}
    options["username"] = address.user or environment.get("SNOWFLAKE_USER", "")
    if token := environment.get("SNOWFLAKE_TOKEN"):
        options[_SNOWFLAKE + "auth_type"] = "auth_pat"
        options[_SNOWFLAKE + "client_option.auth_token"] = token
    else:
        options["password"] = environment.get("SNOWFLAKE_PASSWORD", "")
    return "", {name: text for name, text in options.items() if text}


class QueryReader:
    """The rows of a query whose database says of what types they are."""

    def __init__(self, address: Address) -> None:
        """Send the query, in a transaction that only reads where the database has such.

        Raises:
            DataError: the driver is missing, the database refuses, or a column is named twice.
        """
        self._address = address
        self._driver = driver_of(address)
        self._connection: Any = None
        self._cursor: Any = None  # which closes its rows when nothing refers to it
        self._rows: pa.RecordBatchReader | None = None
        self._given: pa.Schema = self._execute().schema
        self.names: list[str] = self._given.names
        if repeated := twice(self.names):
            self.close()
            raise DataError(
                f"The query gives the column '{repeated[0]}' {repeated[1]} times. Name each column "
                "differently, e.g. by AS."
            )

    def _execute(self) -> pa.RecordBatchReader:
        address = self._address
        try:
            if address.scheme == "duckdb":
                self._connection = self._driver.connect(
                    address.path, read_only=True, config={"enable_external_access": "false"}
                )
                self._rows = self._connection.sql(address.query).to_arrow_reader(BATCH_ROWS)
                return self._rows
            uri, options = connection_of(address, os.environ)
            uris = [uri] if uri else []
            # A transaction, where the database has them, is begun by this.
            commits = address.scheme not in ("postgresql", "redshift")
            self._connection = self._driver.connect(*uris, db_kwargs=options, autocommit=commits)
            cursor = self._cursor = self._connection.cursor()
            if address.scheme == "postgresql":
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                hint = {"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)}
                cursor.adbc_statement.set_options(**hint)
            cursor.execute(address.query)
            self._rows = cursor.fetch_record_batch()
            return self._rows
        except (self._driver.Error, pa.ArrowException, OSError) as error:
            self.close()
            raise self._explained(error) from error

    def schema(self, kept: Sequence[str]) -> pa.Schema:
        """The plain types of the kept columns.

        Raises:
            DataError: a column is nested, holds bytes or sums of money.
        """
        return pa.schema([(name, self._kind(self._given.field(name))) for name in kept])

    def _kind(self, field: pa.Field) -> pa.DataType:
        metadata = field.metadata or {}
        own = metadata.get(b"POSTGRESQL:type") or metadata.get(b"ADBC:postgresql:typname")
        if own == _NUMERIC:
            return NUMBER
        if own == _CENTS:
            raise DataError(
                f"Column '{field.name}' is of the type money, which has no plain number. Write "
                f"CAST({field.name} AS numeric) in the query."
            )
        if pa.types.is_null(field.type):
            return TEXT
        try:
            return plain(field.type, field.name, self._address.uri)
        except DataError as error:
            cure = f"Or turn it into text or a number in the query, by CAST({field.name} AS ...)."
            raise DataError(f"{error} {cure}") from error

    def batches(self, kept: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows, in plain types; the query is sent again if they were read before.

        Raises:
            DataError: the database breaks off.
        """
        schema = self.schema(kept)
        rows = self._rows or self._execute()
        try:
            while True:
                try:
                    batch = rows.read_next_batch()
                except StopIteration:
                    return
                yield plain_batch(batch, schema)
        except (self._driver.Error, pa.ArrowException, OSError) as error:
            raise self._explained(error) from error
        finally:
            self.close()

    def close(self) -> None:
        """End the transaction and the connection."""
        rows, self._rows = self._rows, None
        opened = [self._cursor, self._connection]
        self._cursor = self._connection = None
        if rows is not None:  # first: what is left of a query keeps a file of DuckDB open
            with suppress(pa.ArrowException, OSError):
                rows.close()
        for one in opened:
            if one is not None:
                with suppress(self._driver.Error):
                    one.close()

    def _explained(self, error: Exception) -> DataError:
        said = " ".join(str(error).split())
        for secret in ("PGPASSWORD", "SNOWFLAKE_PASSWORD", "SNOWFLAKE_TOKEN"):
            if value := os.environ.get(secret):
                said = said.replace(value, "***")
        return DataError(
            f"'{self._address.uri}' did not give the rows of the query: {said[:1000]}. Check the "
            "query, the address, and the credentials in the environment; then run again."
        )
