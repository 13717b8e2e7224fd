"""What is to be watched, each case on throw-away servers of its own."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.postgres.fetch import installed
from tests.postgres.server import Server

ROLE = "bench_monitor"
# Autovacuum is on, as on a sound server, and never comes. Of this many connections a hundred may be kept.
_SETTINGS = {"autovacuum_naptime": "2147483s", "max_connections": 320, "max_wal_size": "4GB"}
_TABLE = "CREATE TABLE table_{0} (id int PRIMARY KEY, name varchar(9)); INSERT INTO table_{0} VALUES ({0}, 'some name')"
_TABLES_A_COMMIT = 500  # each takes locks, and the table of locks has an end
_WIDE = "wide_table"
_DISTINCT_BITS = 13  # 8,192 texts
_COLUMN_BYTES = 60  # PostgreSQL cuts names at 63


@dataclass(frozen=True)
class Case:
    """How many databases a server, tables and entries of pg_stat_statements a database; how long it is measured.

    `text_bytes`: of each of these entries, 0 for short ones. `discovers`: the configuration names the servers, not the
    databases. `beside`: measured beside "exporter", or also "queries", the exporter with its queries.yaml. `is_long`:
    it runs when it is named only.
    """

    name: str
    title: str
    databases: int = 1
    tables: int = 20
    statements: int = 100
    interval_s: int = 3
    cycles: int = 6
    servers: int = 1
    text_bytes: int = 0
    max_statements: int = 10_000
    discovers: bool = False
    beside: str = ""
    is_long: bool = False

    @property
    def watched(self) -> int:
        """All databases."""
        return self.servers * self.databases


CASES = {
    case.name: case
    for case in (
        Case("one", "one small database", interval_s=1, cycles=15, beside="exporter"),
        Case(
            "hundred",
            "100 databases on one server",
            databases=100,
            statements=44,
            interval_s=16,
            cycles=3,
            beside="exporter",
        ),
        Case("tables", "one database of 10,000 tables, an index each", tables=10_000, beside="queries"),
        Case(
            "texts",
            "4,800 statements of 10 kB each in pg_stat_statements",
            statements=4800,
            text_bytes=10_000,
            max_statements=5000,
        ),
        Case("tables_1k", "one database of 1,000 tables, an index each", tables=1000, is_long=True),
        Case(
            "tables_100k",
            "one database of 100,000 tables, an index each",
            tables=100_000,
            interval_s=20,
            cycles=3,
            is_long=True,
        ),
        Case(
            "servers",
            "1,000 databases on 10 servers",
            servers=10,
            databases=100,
            statements=10,
            interval_s=60,
            cycles=2,
            discovers=True,
            is_long=True,
        ),
    )
}


@dataclass(frozen=True)
class Place:
    """The servers that hold a case, all alike, and the password of `ROLE` there."""

    case: Case
    servers: tuple[Server, ...]
    password: str

    @property
    def names(self) -> list[str]:
        """The databases of each server."""
        return [f"shop_{number}" for number in range(1, self.case.databases + 1)]

    def dsn(self, server: Server, name: str) -> str:
        """How an agent comes in: as a member of pg_monitor, with a password (SCRAM), over TCP on loopback."""
        return server.dsn(name, ROLE, self.password)


@contextmanager
def made(case: Case, major: int) -> Iterator[Place]:
    """The case on new servers of that major; removed at the end."""
    settings = {**_SETTINGS, "pg_stat_statements.max": case.max_statements}
    with ExitStack() as stack:
        servers = []
        for _ in range(case.servers):
            servers.append(Server.create(major, str(installed()[major]), checksums=True, **settings))
            stack.callback(servers[-1].destroy)
        place = Place(case, tuple(servers), secrets.token_hex(8))
        for server in servers:
            _fill(place, server)
        yield place


def _fill(place: Place, server: Server) -> None:
    first, *others = place.names
    server.create_role(ROLE, place.password)
    if place.case.discovers:
        server.sql("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")  # it is none of the case's databases
    server.sql(f"CREATE DATABASE {first}")
    server.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", dbname=first)
    with closing(server.connect(first)) as connection, connection.cursor() as cursor:
        _make_tables(cursor, place.case)
    how = "STRATEGY file_copy" if server.major >= 15 else ""  # what the older ones do; it writes no WAL
    for name in others:
        server.sql(f"CREATE DATABASE {name} TEMPLATE {first} {how}")
    server.sql("SELECT pg_stat_statements_reset()", dbname=first)
    for name in place.names:
        with closing(server.connect(name)) as connection, connection.cursor() as cursor:
            for number in range(1, place.case.statements + 1):
                cursor.execute(_statement(number, place.case.text_bytes))


def _make_tables(cursor: Any, case: Case) -> None:
    for start in range(0, case.tables, _TABLES_A_COMMIT):
        numbers = range(start, min(start + _TABLES_A_COMMIT, case.tables))
        cursor.execute(";".join(_TABLE.format(number) for number in numbers))
    if case.text_bytes:
        cursor.execute(f"CREATE TABLE {_WIDE} (a int, b int)")
    cursor.execute("VACUUM ANALYZE")


def _statement(number: int, text_bytes: int) -> str:
    """One that is an entry of its own: by its number of columns, or, where it is to be long, by which they are."""
    if not text_bytes:
        return "SELECT " + ", ".join("1" * number)
    columns = [
        f"{'ab'[number >> place % _DISTINCT_BITS & 1]} AS {f'column_{place}_of_statement_{number}_':x<{_COLUMN_BYTES}}"
        for place in range(text_bytes // (_COLUMN_BYTES + len("a AS , ")))
    ]
    return f"SELECT {', '.join(columns)} FROM {_WIDE}"
