"""blocking-chain."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.checks.planting import SLEEPS, WAITS, running, session
from tests.postgres.server import Database, Server

ROOT = {"pid": 1, "state": "active", "backend_type": "client backend", "xact_age_s": 1000.0, "usename": "app"}


def test_the_root_is_named_with_its_tree_and_ended(database: Database, doctor: Callable[..., Doctor]) -> None:
    chains = doctor(database, "blocking-chain", warning_s=0)
    database.sql("CREATE TABLE t (x int PRIMARY KEY, y int)")
    database.sql("INSERT INTO t VALUES (1, 0), (2, 0)")
    chains.healthy()
    with (
        session(database, "BEGIN", "UPDATE t SET y = 1 WHERE x = 1") as root,
        running(
            database, "BEGIN; UPDATE t SET y = 1 WHERE x = 2; UPDATE t SET y = 2 WHERE x = 1; COMMIT", WAITS
        ) as first,
        running(database, "UPDATE t SET y = 3 WHERE x = 2", WAITS) as second,
    ):
        found = chains.sick()
        assert (found.key, found.severity) == (str(root), Severity.WARNING)
        assert found.summary.startswith("2 sessions wait, for up to ")
        assert f"session {root} (postgres in {database.name}, tests), idle in transaction for " in found.summary
        assert isinstance(found.evidence["root"], dict) and isinstance(found.evidence["tree"], list)
        assert found.evidence["root"]["query"] == "UPDATE t SET y = *** WHERE x = ***"
        assert [
            (branch["pid"], branch["parent_pid"], branch["depth"], branch["mode"], branch["on"])
            for branch in found.evidence["tree"]
        ] == [(first, root, 1, "ShareLock", "row of public.t"), (second, first, 2, "ShareLock", "row of public.t")]
        assert found.evidence["tree"][1]["query"] == "UPDATE t SET y = *** WHERE x = ***"
        paste(database, found.remedy)
        chains.healthy()


@pytest.mark.parametrize("major", [12, 18])
def test_a_prepared_transaction_and_one_that_is_active(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    database = make_server(major, max_prepared_transactions=5).new_database()
    chains = doctor(database, "blocking-chain", warning_s=0)
    database.sql("CREATE TABLE t (x int)")
    database.sql("BEGIN; LOCK TABLE t; PREPARE TRANSACTION 'it''s'")
    with running(database, "SELECT * FROM t", WAITS):
        found = chains.sick()
        assert (found.key, found.severity) == ("it's", Severity.WARNING)
        assert "for prepared transaction it's of postgres" in found.summary
        assert isinstance(found.evidence["tree"], list)
        assert found.evidence["tree"][0]["on"] == "table public.t"
        paste(database, found.remedy)
        chains.healthy()
    with (
        running(database, "BEGIN; LOCK TABLE t; SELECT pg_sleep(60)", SLEEPS) as root,
        running(database, "SELECT * FROM t", WAITS),
    ):
        found = chains.sick()
        assert found.key == str(root)
        assert f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = {root} AND xact_start" in found.remedy
        paste(database, found.remedy)
        chains.healthy()


def waiter(pid: int, waiting_s: float | None, parent: int = 1, depth: int = 1, **more: object) -> dict[str, Any]:
    row = {"pid": pid, "waiting_s": waiting_s, "wait_age_s": waiting_s, "parent_pid": parent, "depth": depth}
    row |= {"root_pid": 1, "locktype": "transactionid", "mode": "ShareLock", "blockers": [ROOT] if parent == 1 else []}
    return {**row, **more}


def chain(*rows: dict[str, Any], root: dict[str, Any] | None = None) -> list[Finding]:
    blockers = {} if root is None else {"blockers": [{**ROOT, **root}]}
    return judged("blocking-chain", planted(locks=[{**row, **blockers} for row in rows]))


def test_what_a_wait_comes_to() -> None:
    assert chain(waiter(2, 29.9)) == []
    [found] = chain(waiter(2, 30.0))
    assert (found.severity, found.threshold) == (Severity.WARNING, "a wait of 30 s")
    assert found.summary == "1 session waits, for up to 30 s, for session 1 (app, client backend), active"
    [found] = chain(waiter(2, 300.0))
    assert (found.severity, found.threshold) == (Severity.CRITICAL, "critical: a wait of 5 min")
    [found] = chain(waiter(2, 30.0), *(waiter(pid, 1.0) for pid in range(3, 11)))
    assert (found.severity, found.evidence["waiting_count"]) == (Severity.WARNING, 9)
    [found] = chain(waiter(2, 30.0), *(waiter(pid, 1.0) for pid in range(3, 12)))
    assert (found.severity, found.evidence["waiting_count"]) == (Severity.CRITICAL, 10)
    assert found.remedy.startswith("-- end session 1 (app, client backend), for which 10 sessions wait\n")
    [found] = chain(waiter(2, 30.0))
    assert found.remedy.startswith("-- end session 1 (app, client backend), for which 1 session waits\n")
    assert chain(*(waiter(pid, 29.0) for pid in range(2, 50))) == []  # many, and none for long: a busy row


def test_a_root_that_was_forgotten_is_critical_with_the_first_who_waits() -> None:
    idle = {"state": "idle in transaction", "state_age_s": 299.0}
    assert chain(waiter(2, 1.0), root=idle) == []
    [found] = chain(waiter(2, 1.0), root={**idle, "state_age_s": 300.0})
    assert found.severity is Severity.CRITICAL
    assert found.summary.endswith(", idle in transaction for 5 min")
    assert "-- if it is still the same, which is not told: SELECT pg_terminate_backend(1);\n" in found.remedy
    [found] = chain(waiter(2, 1.0), root={**idle, "state_age_s": 300.0, "xact_start": "2026-01-01T00:00:00+00:00"})
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = 1 AND xact_start = "
    assert f"{end}'2026-01-01T00:00:00+00:00';\n" in found.remedy


def test_a_queue_behind_ddl_is_critical() -> None:
    ddl = waiter(2, 30.0, locktype="relation", mode="AccessExclusiveLock")
    [found] = chain(ddl)
    assert found.severity is Severity.WARNING
    [found] = chain(ddl, waiter(3, 1.0, parent=2, depth=2, locktype="relation", mode="AccessShareLock"))
    assert found.severity is Severity.CRITICAL


def test_waits_that_are_meant() -> None:
    [found] = chain(waiter(2, 9000.0, locktype="advisory", classid=0, objid=7))
    assert (found.severity, found.evidence["tree"][0]["on"]) == (Severity.INFO, "advisory lock 0, 7")  # type: ignore[index]
    [found] = chain(waiter(2, 9000.0, locktype="virtualxid"))
    assert found.severity is Severity.WARNING


def test_before_14_a_wait_is_no_longer_than_the_transaction_in_its_way() -> None:
    assert chain(waiter(2, 9000.0, wait_age_s=None), root={"xact_age_s": 3.0}) == []
    [found] = chain(waiter(2, 40.0, wait_age_s=None), root={"xact_age_s": 60.0})
    assert found.evidence["tree"][0]["waiting_s"] == 40.0  # type: ignore[index]
    with pytest.raises(NotExamined):
        chain(waiter(2, None))


def test_roots_that_a_statement_does_not_end() -> None:
    [found] = chain(waiter(2, 40.0), root={"backend_type": "startup"})
    assert found.remedy.startswith("--") and found.remedy.count("\n") == 1
    first = waiter(2, 40.0, query_start="2026-01-01T00:00:00+00:00")
    [found] = chain(first, root={"backend_type": "autovacuum worker"})
    assert "WHERE pid = 2 AND query_start = '2026-01-01T00:00:00+00:00';\n" in found.remedy
    [found] = chain(waiter(2, 40.0, parent=0, root_pid=0, blockers=[{"pid": 0, "gid": None, "state": "prepared"}]))
    assert (found.key, found.remedy.count("--")) == ("0", 3)


def test_each_root_is_told_and_a_deadlock_is_not() -> None:
    one, other = waiter(2, 40.0), waiter(3, 50.0, parent=9, root_pid=9, blockers=[{**ROOT, "pid": 9}])
    assert [each.key for each in chain(one, other)] == ["9", "1"]
    assert chain(waiter(2, 40.0, root_pid=None, depth=None)) == []


def test_names_cannot_leave_a_comment() -> None:
    [found] = chain(waiter(2, 40.0), root={"usename": "a\nDROP TABLE t;\x1b[2J"})
    assert next(line for line in found.remedy.splitlines() if "DROP" in line).startswith("-- ")
    assert "\x1b" not in found.remedy + found.summary
