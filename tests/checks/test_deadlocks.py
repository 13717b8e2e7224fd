"""deadlocks."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import NOTHING, Doctor, judged, planted
from tests.checks.planting import WAITS, running, session
from tests.postgres.server import Database
from tests.waiting import wait_for


def test_two_that_wait_for_each_other(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (x int PRIMARY KEY, y int); INSERT INTO t VALUES (1, 0), (2, 0)")
    locks = doctor(database, "deadlocks")
    locks.apart_s = 1
    locks.healthy()
    locked = "BEGIN; SET LOCAL deadlock_timeout = '10ms'; UPDATE t SET y = 1 WHERE x = {}"
    crossing = locked + "; SELECT pg_advisory_lock_shared(1); UPDATE t SET y = 1 WHERE x = {}; COMMIT"
    with (
        session(database, "SELECT pg_advisory_lock(1)") as gate,
        running(database, crossing.format(1, 2), WAITS),
        running(database, crossing.format(2, 1), WAITS),
    ):
        database.sql("SELECT pg_terminate_backend(%s)", [gate])
        failed = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND state = 'idle in transaction (aborted)'"
        wait_for(lambda: database.sql(failed, [database.name]), "no deadlock")
    found = locks.sick()
    assert (found.id, found.severity) == ("deadlocks", Severity.WARNING)
    assert found.summary.startswith(f"1 deadlock in database {database.name} within ")
    locks.healthy()  # once it has passed


def test_what_a_number_comes_to() -> None:
    def within(seconds: float, deadlocks: int, was: int = 5) -> list[Severity]:
        before = planted(database={"datname": "app", "deadlocks": was, "xact_commit": 9})
        now = planted(seconds, database={"datname": "app", "deadlocks": was + deadlocks, "xact_commit": 99})
        return [each.severity for each in judged("deadlocks", now, before)]

    assert within(600, 0) == []
    assert within(600, 1) == [Severity.WARNING]
    assert within(7200, 1) == []  # one in two hours
    assert within(600, 59) == [Severity.WARNING]  # in the next 50 minutes there may be none
    assert within(3600, 60) == [Severity.CRITICAL]
    with pytest.raises(NotExamined, match="reset"):
        within(600, -1)
    with pytest.raises(NotExamined, match="first"):
        judged("deadlocks", planted(database={"deadlocks": 7}), NOTHING)
