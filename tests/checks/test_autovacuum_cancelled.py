"""autovacuum-cancelled."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import NOTHING, Doctor, judged, paste, planted
from tests.postgres.server import Server
from tests.waiting import wait_for

AT_IT = "SELECT 1 FROM pg_stat_progress_vacuum WHERE relid = 't'::regclass"


@pytest.mark.parametrize("major", [12, 18])
def test_a_worker_that_somebodys_lock_ends(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, autovacuum_naptime="1s", autovacuum_vacuum_cost_delay="100ms", deadlock_timeout="10ms")
    server.sql("CREATE TABLE t AS SELECT g FROM generate_series(1, 60000) g")
    server.sql("VACUUM ANALYZE t")
    cancelled = doctor(server, "autovacuum-cancelled")
    server.sql("ALTER TABLE t SET (autovacuum_vacuum_cost_limit = 1)")
    server.sql("DELETE FROM t WHERE g % 2 = 0")
    wait_for(lambda: server.sql(AT_IT), "no worker comes")
    assert cancelled.look() == []
    earlier = cancelled.before
    assert [row["is_autovacuum"] for row in earlier.rows("progress")] == [True]
    locker = server.connect()
    locker.cursor().execute("BEGIN; LOCK TABLE t IN SHARE MODE")
    assert wait_for(lambda: _look(cancelled, earlier) or cancelled.state.watched, "it is not seen")
    assert _look(cancelled, earlier) == []  # once is nothing
    watched = {key: replace(watch, since=watch.since - 3600) for key, watch in cancelled.state.watched.items()}
    cancelled.state = replace(cancelled.state, watched=watched)
    [found] = _look(cancelled, earlier)
    assert (found.id, found.severity) == ("autovacuum-cancelled:public.t", Severity.WARNING)
    who, vacuum = found.remedy.split(";\n", 1)
    assert [row[0] for row in server.sql(who)] == [locker.get_backend_pid()]
    locker.close()
    paste(server, vacuum)
    wait_for(lambda: _look(cancelled, earlier) == [] and not cancelled.not_examined, "it stays")


def _look(cancelled: Doctor, earlier: Document) -> list[Finding]:
    """Compared with that very snapshot."""
    cancelled.before = earlier
    return cancelled.look()


WORKER = {
    "command": "VACUUM",
    "is_autovacuum": True,
    "pid": 7,
    "query_start": "2026-01-01T00:00:00+00:00",
    "datname": "app",
    "relid": 5,
}
TABLE = {"relid": 5, "schemaname": "s", "relname": "t", "autovacuum_count": 3, "vacuum_count": 2}


def _judged(
    worker: dict[str, object],
    table: dict[str, object],
    *,
    due: bool = True,
    still: list[dict[str, object]] | None = None,
) -> list[Finding]:
    queue = [{"relid": 5, "vacuum_due": due}]
    now = planted(1800, tables=[{**TABLE, **table}], progress=still or [], autovacuum_queue=queue)
    now.db_name = "app"
    return judged("autovacuum-cancelled", now, planted(tables=[TABLE], progress=[{**WORKER, **worker}]))


def test_what_is_an_interruption() -> None:
    assert len(_judged({}, {})) == 1
    assert _judged({}, {"autovacuum_count": 4}) == []  # it got through
    assert _judged({}, {"vacuum_count": 3}) == []  # somebody else did
    assert _judged({}, {}, due=False) == []  # counters were reset, or the table truncated
    assert _judged({}, {}, still=[WORKER]) == []  # it goes on
    assert len(_judged({}, {}, still=[{**WORKER, "pid": 8}])) == 1  # it began anew
    assert _judged({"is_autovacuum": False}, {}) == []
    assert _judged({"command": "ANALYZE"}, {}) == []
    assert _judged({"datname": "another"}, {}) == []
    assert _judged({"relid": 6}, {}) == []


def test_it_takes_two_snapshots() -> None:
    with pytest.raises(NotExamined, match="two snapshots"):
        judged("autovacuum-cancelled", planted(tables=[TABLE], progress=[], autovacuum_queue=[]), NOTHING)
