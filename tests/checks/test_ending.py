"""What ends a session, or its query, ends no other: a report is read later than it was made."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.checks.sessions import cancelling, ending, terminating
from tests.checks.conftest import Doctor, judged, paste, snapshot
from tests.checks.planting import WAITS, running
from tests.postgres.server import Database
from tests.waiting import wait_for

ALIVE = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"


def test_a_session_in_another_transaction_is_left_alone(database: Database, doctor: Callable[..., Doctor]) -> None:
    checks = [doctor(database, each, warning_s=0) for each in ("idle-in-transaction", "long-transaction")]
    own = database.server.connect(database.name)
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
    with own.cursor() as cursor:
        cursor.execute(begin)
        remedies = [each.sick().remedy for each in checks]
        cursor.execute("COMMIT")
        cursor.execute(begin)
        for remedy in remedies:
            paste(database, remedy)
        cursor.execute("SELECT 1")
        paste(database, checks[0].sick().remedy)
    wait_for(lambda: not database.sql(ALIVE, [own.info.backend_pid]), "its own transaction was not ended")


@pytest.mark.parametrize("check", ["blocking-chain", "ddl-lock-queue"])
def test_who_is_in_the_way_is_known_by_a_time(database: Database, check: str) -> None:
    """A time that is another's ends nobody; with its own, the queue moves."""
    database.sql("CREATE TABLE t ()")
    own = database.server.connect(database.name)
    with own.cursor() as cursor:
        cursor.execute("BEGIN; SELECT FROM t")
        with (
            running(database, "BEGIN; LOCK TABLE t", WAITS) as ddl,
            running(database, "SELECT FROM t", WAITS),
        ):
            now = snapshot(database.dsn, check)
            [found] = judged(check, now, warning_s=0)
            for row in now.rows("locks"):
                _later(row)
            [other] = judged(check, now, warning_s=0)
            paste(database, other.remedy)
            assert database.sql(WAITS, [ddl]) and database.sql(ALIVE, [own.info.backend_pid])
            paste(database, found.remedy)
            wait_for(lambda: not database.sql(WAITS, [ddl]), "nobody was ended")


def _later(row: Any) -> None:
    for each in (row, *row["blockers"]):
        each.update(dict.fromkeys(("backend_start", "xact_start", "query_start"), "2020-01-01T00:00:00+00:00"))


def test_without_a_time_nothing_is_run() -> None:
    for session in ({"pid": 1}, {"pid": 1, "state": "active"}):
        assert all(line.startswith("-- if it is still the same") for line in ending(session).splitlines())
    assert terminating({"pid": 1, "backend_start": "x"}).endswith("WHERE pid = 1 AND backend_start = 'x';\n")
    assert cancelling({"pid": 1, "query_start": "x"}).endswith("WHERE pid = 1 AND query_start = 'x';\n")
