"""ddl-lock-queue."""

from collections.abc import Callable
from typing import Any

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.checks.planting import WAITS, running, session
from tests.postgres.server import Database


def test_readers_wait_behind_a_waiting_alter_table(database: Database, doctor: Callable[..., Doctor]) -> None:
    queues = doctor(database, "ddl-lock-queue", warning_s=0)
    database.sql("CREATE TABLE t (x int)")
    with session(database, "BEGIN", "SELECT * FROM t"), running(database, "ALTER TABLE t ADD y int", WAITS) as ddl:
        queues.healthy()  # it waits, and nobody behind it
        with running(database, "SELECT count(*) FROM t", WAITS) as reader:
            found = queues.sick()
            assert (found.key, found.severity) == (f"{database.name}.public.t", Severity.WARNING)
            assert found.summary.endswith("to lock table public.t against all others, and 1 session waits behind it")
            assert isinstance(found.evidence["statement"], dict) and isinstance(found.evidence["behind"], list)
            assert found.evidence["statement"]["pid"] == ddl
            assert [each["pid"] for each in found.evidence["behind"]] == [reader]
            paste(database, found.remedy)
            queues.healthy()


def rows(waiting_s: float, **more: Any) -> list[dict[str, Any]]:
    """An ALTER TABLE behind an open transaction, another one behind it, and a reader behind both."""
    lock = {"locktype": "relation", "datname": "app", "schemaname": "public", "relname": "t", "root_pid": 1}
    root = {"pid": 1, "state": "idle in transaction", "state_age_s": 60.0}
    waits = [
        (2, 1, [1], "AccessExclusiveLock"),
        (3, 1, [1, 2], "AccessExclusiveLock"),
        (4, 2, [2, 3], "AccessShareLock"),
    ]
    return [
        {**lock, "pid": pid, "parent_pid": parent, "blocking_pids": pids, "mode": mode, "blockers": [root], **more}
        | {"waiting_s": waiting_s - pid + 2, "wait_age_s": waiting_s - pid + 2}
        for pid, parent, pids, mode in waits
    ]


def test_what_a_wait_comes_to() -> None:
    assert judged("ddl-lock-queue", planted(locks=rows(4.9))) == []
    [found] = judged("ddl-lock-queue", planted(locks=rows(5.0)))
    assert (found.key, found.severity) == ("app.public.t", Severity.WARNING)
    assert found.evidence["behind_count"] == 2
    [found] = judged("ddl-lock-queue", planted(locks=rows(30.0)))
    assert found.severity is Severity.CRITICAL


def test_a_row_that_many_want_is_no_ddl() -> None:
    assert judged("ddl-lock-queue", planted(locks=rows(90.0, mode="ExclusiveLock", locktype="tuple"))) == []


def test_it_is_shown_under_the_chain_that_it_is_part_of() -> None:
    nothing = Document({}, {})
    told = diagnose(planted(locks=rows(30.0)), nothing, names=["blocking-chain", "ddl-lock-queue"])
    assert [(each.id, each.because_of) for each in told.findings] == [
        ("blocking-chain:1", ""),
        ("ddl-lock-queue:app.public.t", "blocking-chain:1"),
    ]
    [found] = diagnose(planted(locks=rows(6.0)), nothing, names=["blocking-chain", "ddl-lock-queue"]).findings
    assert (found.check, found.because_of) == ("ddl-lock-queue", "")
