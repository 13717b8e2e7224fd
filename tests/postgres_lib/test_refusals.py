"""Servers that do not let us in: what is said then, and that the SQL in it opens the door."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg2
import pytest

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.connect import connect
from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Server

PASSWORD = "canary-pw-door"
FEW = {"max_connections": 8, "superuser_reserved_connections": 2}


def refused(server: Server, dbname: str = "postgres") -> str:
    """What is said to `watcher` who wants to come in."""
    with pytest.raises(DatabaseError) as caught:
        connect(Dsn.parse(server.dsn(dbname, "watcher", PASSWORD), {}))
    return str(caught.value)


def comes_in(server: Server, dbname: str = "postgres") -> bool:
    with connect(Dsn.parse(server.dsn(dbname, "watcher", PASSWORD), {})) as session:
        return session.facts.role == "watcher"


def cure(told: str, server: Server) -> None:
    [statement] = re.findall(r"(?:GRANT|ALTER (?:ROLE|DATABASE)) [^;]*;", told)
    server.sql(statement)


@pytest.fixture
def crowd() -> Iterator[Callable[..., None]]:
    """`crowd(server)`: others take all connections that `user` may have."""
    taken: list[Any] = []

    def fill(server: Server, user: str = "others", password: str | None = PASSWORD) -> None:
        server.used = True
        where = {"host": "127.0.0.1", "port": server.port, "dbname": "postgres", "user": user, "password": password}
        with suppress(psycopg2.OperationalError):
            while len(taken) < 100:
                taken.append(psycopg2.connect(**where))
        assert 0 < len(taken) < 100

    yield fill
    for connection in taken:
        connection.close()


def crowded(make_server: Callable[..., Server], crowd: Callable[..., None], **settings: object) -> Server:
    server = make_server(**FEW, **settings)
    for name in ("watcher", "others"):
        server.create_role(name, PASSWORD)
    assert comes_in(server)
    crowd(server)
    return server


@pytest.mark.pg(">= 16")
def test_reserved_connections_let_the_agent_in(
    make_server: Callable[..., Server], crowd: Callable[..., None], cli: Cli, endpoint: Endpoint
) -> None:
    server = crowded(make_server, crowd, reserved_connections=2)
    env = {"PGDOCTOR_DSN": server.dsn("postgres", "watcher", PASSWORD), "PGDOCTOR_ENDPOINT": endpoint.url}
    daemon = cli.start("daemon", env={**env, "PGDOCTOR_TOKEN": "tok", "PGDOCTOR_INTERVAL": "1"})
    line = daemon.wait_for_line(r"✗ collection failed: remaining connection slots are reserved .*").string
    assert line.endswith(
        'reserved for roles with privileges of the "pg_use_reserved_connections" role; all connections that this role '
        'may use are taken: GRANT pg_use_reserved_connections TO "watcher";'
    )
    assert PASSWORD not in line
    cure(line, server)
    daemon.wait_for_line(r"Collecting snapshot #\d+\.\.\. uploading\.\.\. ✓")
    assert comes_in(server)
    daemon.send()
    assert daemon.finish().returncode == 0


@pytest.mark.pg(">= 16")
def test_without_reserved_connections_it_says_how_to_have_some(
    make_server: Callable[..., Server], crowd: Callable[..., None]
) -> None:
    server = crowded(make_server, crowd)
    told = refused(server)
    assert told.startswith("remaining connection slots are reserved for roles with the SUPERUSER attribute; all ")
    assert 'GRANT pg_use_reserved_connections TO "watcher"; ALTER SYSTEM SET reserved_connections = 3;' in told
    crowd(server, "postgres", None)
    assert refused(server).startswith(
        "sorry, too many clients already; all connections are taken, reserved ones too: raise max_connections"
    )


def test_before_16_there_is_nothing_to_grant(
    oldest_server: Server, make_server: Callable[..., Server], crowd: Callable[..., None]
) -> None:
    if oldest_server.major >= 16:
        pytest.skip("not for PostgreSQL 16 and later")
    server = make_server(oldest_server.major, **FEW)
    for name in ("watcher", "others"):
        server.create_role(name, PASSWORD)
    crowd(server)
    told = refused(server)
    assert told.startswith("remaining connection slots are reserved for non-replication superuser connections; all ")
    assert "raise max_connections" in told and "GRANT" not in told


CLOSED = {
    "ALTER ROLE watcher CONNECTION LIMIT 0": 'too many connections for role "watcher"; ALTER ROLE "watcher" ',
    "ALTER ROLE watcher NOLOGIN": 'role "watcher" is not permitted to log in; ALTER ROLE "watcher" LOGIN;',
    'ALTER DATABASE "odd ""one""" CONNECTION LIMIT 0': 'too many connections for database "odd "one""; ALTER DATABASE ',
    'REVOKE CONNECT ON DATABASE "odd ""one""" FROM PUBLIC': 'permission denied for database "odd "one""; GRANT ',
}


def test_what_closes_the_door_and_opens_it(fresh_server: Server) -> None:
    fresh_server.create_database('odd "one"')
    fresh_server.create_role("watcher", PASSWORD)
    for closing, words in CLOSED.items():
        assert comes_in(fresh_server, 'odd "one"')
        fresh_server.sql(closing)
        told = refused(fresh_server, 'odd "one"')
        assert told.startswith(words), told
        cure(told, fresh_server)
    assert comes_in(fresh_server, 'odd "one"')


def test_what_nothing_is_known_of_has_no_remedy(newest_server: Server) -> None:
    told = refused(newest_server)
    assert told == 'password authentication failed for user "watcher"'
