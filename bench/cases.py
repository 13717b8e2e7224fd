"""The three databases to be watched, each on a throw-away server of its own."""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from tests.postgres.fetch import installed
from tests.postgres.server import Server

ROLE = "bench_monitor"
_SETTINGS = {"autovacuum": "off", "max_connections": 300, "pg_stat_statements.max": 10000}
_TABLE = "CREATE TABLE table_{0} (id int PRIMARY KEY, name text); INSERT INTO table_{0} VALUES ({0}, 'some name')"
_TABLES_A_COMMIT = 500  # each takes locks, and the table of locks has an end


@dataclass(frozen=True)
class Case:
    """How many databases, how many tables and entries of pg_stat_statements in each, and how long it is measured."""

    name: str
    title: str
    databases: int
    tables: int
    statements: int
    interval_s: int
    cycles: int


CASES = {
    case.name: case
    for case in (
        Case("one", "one small database", 1, 20, 100, interval_s=1, cycles=15),
        Case("hundred", "100 databases on one server", 100, 20, 44, interval_s=16, cycles=3),
        Case("tables", "one database of 10,000 tables, an index each", 1, 10_000, 100, interval_s=3, cycles=6),
    )
}


@dataclass(frozen=True)
class Place:
    """A server that holds a case, and the password of `ROLE` there."""

    case: Case
    server: Server
    password: str

    @property
    def names(self) -> list[str]:
        """The databases."""
        return [f"shop_{number}" for number in range(1, self.case.databases + 1)]

    def dsn(self, name: str) -> str:
        """How an agent comes in: as a member of pg_monitor, with a password (SCRAM), over TCP on loopback."""
        return self.server.dsn(name, ROLE, self.password)


@contextmanager
def made(case: Case, major: int) -> Iterator[Place]:
    """The case on a new server of that major; removed at the end."""
    server = Server.create(major, str(installed()[major]), **_SETTINGS)
    try:
        place = Place(case, server, secrets.token_hex(8))
        server.create_role(ROLE, place.password)
        _fill(place)
        yield place
    finally:
        server.destroy()


def _fill(place: Place) -> None:
    server, (first, *others) = place.server, place.names
    server.sql(f"CREATE DATABASE {first}")
    server.sql("CREATE EXTENSION pg_stat_statements", dbname=first)
    with closing(server.connect(first)) as connection, connection.cursor() as cursor:
        for start in range(0, place.case.tables, _TABLES_A_COMMIT):
            numbers = range(start, min(start + _TABLES_A_COMMIT, place.case.tables))
            cursor.execute(";".join(_TABLE.format(number) for number in numbers))
        cursor.execute("VACUUM ANALYZE")
    for name in others:
        server.sql(f"CREATE DATABASE {name} TEMPLATE {first}")
    server.sql("SELECT pg_stat_statements_reset()", dbname=first)
    for name in place.names:
        with closing(server.connect(name)) as connection, connection.cursor() as cursor:
            for columns in range(1, place.case.statements + 1):
                cursor.execute("SELECT " + ", ".join("1" * columns))  # another number of columns, another entry
