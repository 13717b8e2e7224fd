"""pgbouncer-waiting."""

import re
import threading
from collections.abc import Callable
from typing import Any

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.fix_pgbouncer import Bouncer
from tests.postgres.server import Server
from tests.waiting import wait_for


def paste_into_console(bouncer: Bouncer, remedy: str) -> None:
    """As an admin would."""
    connection = bouncer.connect("pgbouncer", "postgres")
    for statement in re.sub(r"--.*\n", "", remedy).split(";\n"):
        if statement:
            connection.cursor().execute(statement)
    connection.close()


def test_a_pool_that_is_too_small(
    newest_server: Server, make_bouncer: Callable[..., Bouncer], doctor: Callable[..., Doctor]
) -> None:
    bouncer = make_bouncer(newest_server, default_pool_size=1, admin_users="postgres")
    waiting = doctor(bouncer.dsn(), "pgbouncer-waiting", warning_s=0.5)
    first, second = (bouncer.connect("postgres", "postgres") for _ in range(2))
    first.cursor().execute("BEGIN; SELECT 1")
    waiting.healthy()
    thread = threading.Thread(target=second.cursor().execute, args=("SELECT 2",))
    thread.start()
    try:
        found = waiting.sick()
        assert (found.id, found.severity) == ("pgbouncer-waiting:postgres/postgres", Severity.WARNING)
        assert "1 client of PgBouncer's pool postgres/postgres waits for a connection" in found.summary
        assert found.summary.endswith("; all of its connections (1) are at work")
        paste_into_console(bouncer, found.remedy)
        waiting.healthy()
    finally:
        first.cursor().execute("COMMIT")
        thread.join()


def test_a_database_that_is_paused(
    newest_server: Server, make_bouncer: Callable[..., Bouncer], doctor: Callable[..., Doctor]
) -> None:
    bouncer = make_bouncer(newest_server, admin_users="postgres")
    waiting = doctor(bouncer.dsn(), "pgbouncer-waiting", warning_s=0.5)
    client = bouncer.connect("postgres", "postgres")
    client.cursor().execute("SELECT 1")
    paste_into_console(bouncer, "PAUSE postgres;\n")
    thread = threading.Thread(target=client.cursor().execute, args=("SELECT 2",))
    thread.start()
    found = waiting.sick()
    assert found.summary.endswith("; the database is paused")
    paste_into_console(bouncer, found.remedy.replace("RESUME", "RESUME postgres"))
    thread.join()
    wait_for(lambda: waiting.look() == [], "it stays")


def told(waited: tuple[int, int], clients: int = 3, **database: Any) -> list[Finding]:
    pool = {"database": "app", "user": "u", "cl_waiting": clients, "maxwait": waited[0], "maxwait_us": waited[1]}
    rows = [{"name": "app", "pool_size": 20, "paused": 0, **database}]
    return judged("pgbouncer-waiting", planted(pgbouncer={"pools": [{**pool, "sv_active": 20}], "databases": rows}))


def test_how_long_is_too_long() -> None:
    assert told((4, 999_999)) == []
    assert [each.severity for each in told((5, 0))] == [Severity.WARNING]
    assert [each.severity for each in told((60, 0))] == [Severity.CRITICAL]
    assert told((60, 0), clients=0) == [], "the one that waited has gone"
    assert judged("pgbouncer-waiting", planted(pgbouncer={"pools": None})) == []


def test_where_the_pool_is_not_full_the_server_does_not_let_in() -> None:
    [found] = told((9, 0), pool_size=21)
    assert "none can be made" in found.summary and found.remedy.startswith("-- see PgBouncer's log")
