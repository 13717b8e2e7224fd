"""long-query."""

from collections.abc import Callable
from typing import Any

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.checks.planting import SLEEPS, WAITS, running, session
from tests.postgres.server import Database

CLIENT = {"pid": 7, "backend_type": "client backend", "state": "active"}


def test_a_query_is_cancelled(database: Database, doctor: Callable[..., Doctor]) -> None:
    queries = doctor(database, "long-query", warning_s=0)
    database.sql("CREATE TABLE t ()")
    with session(database, "BEGIN", "LOCK TABLE t"), running(database, "SELECT * FROM t", WAITS):
        queries.healthy()  # one is idle, the other waits for a lock
    with running(database, "SELECT pg_sleep(60)", SLEEPS) as pid:
        found = queries.sick()
        assert (found.key, found.severity) == (str(pid), Severity.WARNING)
        assert f"session {pid} (postgres in {database.name}, tests) has been running one query for " in found.summary
        assert found.summary.endswith(": SELECT pg_sleep(***)")
        paste(database, found.remedy)
        queries.healthy()


def query(query_age_s: float | None, progress: list[dict[str, Any]] | None = None, **more: Any) -> list[Finding]:
    row = {**CLIENT, "query_age_s": query_age_s, **more}
    return judged("long-query", planted(activity=[row], progress=progress or []))


def test_what_an_age_comes_to() -> None:
    assert query(1799.0) == []
    [found] = query(1800.0, parallel_worker_count=2, query="SELECT\n1", query_id="42")
    assert (found.severity, found.evidence["query_id"]) == (Severity.WARNING, "42")
    assert found.summary == (
        "session 7 (client backend) has been running one query for 30 min, with 2 parallel workers: SELECT 1"
    )
    [found] = query(43200.0)
    assert found.severity is Severity.CRITICAL


def test_what_is_none() -> None:
    assert query(None) == []
    assert query(90000.0, state="idle in transaction") == []
    assert query(90000.0, wait_event_type="Lock") == []
    assert query(90000.0, application_name="pg_dumpall") == []
    assert query(90000.0, query="ANALYZE") == []
    assert query(90000.0, [{"pid": 7, "command": "VACUUM"}]) == []
    for kind in ("walsender", "parallel worker", "logical replication worker", None):
        assert query(90000.0, backend_type=kind) == []
